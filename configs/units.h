/*
 * Values with units, as people write them: "48KiB", "13.75ns", "2.9GHz", "250k". Parsing is exact
 * in integers; a value that is no whole number of the base unit (byte, femtosecond, hertz, 1) is
 * refused, not rounded.
 */
#ifndef CONFIGS_UNITS_H
#define CONFIGS_UNITS_H

#include "pdes/desc.h"

/* clang-format off */
#define UNITS_RESULT_LIST(X)                                   \
    X(OK,       "fine")                                        \
    X(SYNTAX,   "is not a number")                             \
    X(NEGATIVE, "is negative")                                 \
    X(NO_UNIT,  "has no unit")                                 \
    X(BAD_UNIT, "has an unknown unit")                         \
    X(INEXACT,  "is not a whole number of the smallest unit")  \
    X(OVERFLOW, "does not fit 64 bits")
/* clang-format on */

enum units_result {
#define X(name, text) UNITS_##name,
    UNITS_RESULT_LIST(X)
#undef X
};

/* What is wrong, as the end of a sentence: "'12x' <text>". */
const char *units_result_text(enum units_result r);

/* What a value of `type` looks like, for messages: "a time such as 13.75ns (fs, ps, ns, ...)". */
const char *units_expected(enum param_type type);

/*
 * Reads `text` as a COUNT, BOOL, SIZE, TIME or FREQ into base units. Surrounding blanks and blanks
 * before the unit are allowed; counts and sizes may be hexadecimal (0x...). *value_out is set only
 * on UNITS_OK.
 */
enum units_result units_parse(enum param_type type, const char *text, uint64_t *value_out);

#define UNITS_TEXT_BYTES 48

/*
 * Writes `value` in its shortest exact form, which units_parse reads back to the same value:
 * 13750000 fs is "13.75ns", 2097152 bytes "2MiB". Returns `buf`.
 */
const char *units_format(enum param_type type, uint64_t value, char buf[static UNITS_TEXT_BYTES]);

#endif
