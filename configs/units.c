/*
 * Values with units. A number is an integer part and at most 18 decimals; it is scaled in 128 bits
 * and must divide out exactly, so that 13.75ns is 13750000 fs on every host and compiler.
 */
#include "configs/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

__extension__ typedef unsigned __int128 u128;

struct unit {
    const char *name;
    uint64_t scale;
};

/* clang-format off */
static const struct unit count_units[] = {
    {"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"", 1}, {"B", 1},
    {"KiB", UINT64_C(1) << 10}, {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30}, {"TiB", UINT64_C(1) << 40},
    {"KB", 1000}, {"kB", 1000}, {"MB", 1000000},
    {"GB", 1000000000}, {"TB", UINT64_C(1000000000000)}, {NULL, 0},
};
static const struct unit time_units[] = {
    {"fs", 1}, {"ps", 1000}, {"ns", FS_PER_NS}, {"us", FS_PER_US},
    {"ms", FS_PER_MS}, {"s", FS_PER_S}, {NULL, 0},
};
static const struct unit freq_units[] = {
    {"Hz", 1}, {"kHz", 1000}, {"MHz", 1000000}, {"GHz", 1000000000}, {NULL, 0},
};
/* clang-format on */

#define DECIMALS_MAX 18u

/* A number as written: digits * 10^-ndecimals. */
struct decimal {
    u128 digits;
    unsigned ndecimals;
};

const char *units_result_text(enum units_result r)
{
    static const char *const texts[] = {
#define X(name, text) text,
        UNITS_RESULT_LIST(X)
#undef X
    };
    return texts[r];
}

const char *units_expected(enum param_type type)
{
    switch (type) {
    case PARAM_COUNT:
        return "a whole number such as 64 or 250k (k, M, G)";
    case PARAM_BOOL:
        return "true or false (also yes, no, on, off)";
    case PARAM_SIZE:
        return "a size such as 48KiB (B, KiB, MiB, GiB, TiB, KB, MB, GB, TB)";
    case PARAM_TIME:
        return "a time such as 13.75ns (fs, ps, ns, us, ms, s)";
    case PARAM_FREQ:
        return "a frequency such as 2.9GHz (Hz, kHz, MHz, GHz)";
    case PARAM_ENUM:
        return "one word of a list";
    case PARAM_TEXT:
        return "a text";
    }
    return "a value";
}

static const struct unit *units_of(enum param_type type)
{
    switch (type) {
    case PARAM_SIZE:
        return size_units;
    case PARAM_TIME:
        return time_units;
    case PARAM_FREQ:
        return freq_units;
    default:
        return count_units;
    }
}

static const struct unit *find_unit(const struct unit *units, const char *name, size_t len)
{
    for (; units->name != NULL; units++)
        if (strlen(units->name) == len && memcmp(units->name, name, len) == 0)
            return units;
    return NULL;
}

static enum units_result parse_bool(const char *s, size_t len, uint64_t *value_out)
{
    static const struct {
        const char *word;
        uint64_t value;
    } words[] = {{"true", 1}, {"false", 0}, {"yes", 1}, {"no", 0}, {"on", 1}, {"off", 0}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i].word) == len && strncasecmp(words[i].word, s, len) == 0) {
            *value_out = words[i].value;
            return UNITS_OK;
        }
    return UNITS_SYNTAX;
}

static enum units_result parse_hex(const char *s, const char *end, uint64_t *value_out)
{
    uint64_t v = 0;
    if (s == end)
        return UNITS_SYNTAX;
    for (; s < end; s++) {
        if (!isxdigit((unsigned char)*s))
            return UNITS_SYNTAX;
        if (v >> 60)
            return UNITS_OVERFLOW;
        unsigned char c = (unsigned char)*s;
        v = v << 4 | (uint64_t)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    *value_out = v;
    return UNITS_OK;
}

/* Reads digits and decimals from *s on and moves *s behind them. */
static enum units_result parse_decimal(const char **s, const char *end, struct decimal *out)
{
    const char *p = *s;
    struct decimal d = {0, 0};
    if (p == end || !isdigit((unsigned char)*p))
        return UNITS_SYNTAX;
    for (; p < end && isdigit((unsigned char)*p); p++) {
        d.digits = d.digits * 10 + (unsigned)(*p - '0');
        if (d.digits > UINT64_MAX)
            return UNITS_OVERFLOW;
    }
    if (p < end && *p == '.') {
        const char *first = ++p;
        while (p < end && isdigit((unsigned char)*p))
            p++;
        if (p == first)
            return UNITS_SYNTAX;
        const char *last = p;
        while (last > first && last[-1] == '0')
            last--;
        if ((size_t)(last - first) > DECIMALS_MAX)
            return UNITS_INEXACT;
        for (; first < last; first++, d.ndecimals++)
            d.digits = d.digits * 10 + (unsigned)(*first - '0');
    }
    *s = p;
    *out = d;
    return UNITS_OK;
}

/* d * scale, exactly. 2^64 * 10^18 * 10^15 would not fit 128 bits, so the scale is reduced first. */
static enum units_result scale_decimal(struct decimal d, uint64_t scale, uint64_t *value_out)
{
    while (d.ndecimals > 0 && scale % 10 == 0) {
        scale /= 10;
        d.ndecimals--;
    }
    u128 product;
    if (__builtin_mul_overflow(d.digits, (u128)scale, &product))
        return UNITS_OVERFLOW;
    for (; d.ndecimals > 0; d.ndecimals--) {
        if (product % 10 != 0)
            return UNITS_INEXACT;
        product /= 10;
    }
    if (product > UINT64_MAX)
        return UNITS_OVERFLOW;
    *value_out = (uint64_t)product;
    return UNITS_OK;
}

enum units_result units_parse(enum param_type type, const char *text, uint64_t *value_out)
{
    const char *s = text, *end = text + strlen(text);
    while (s < end && isspace((unsigned char)*s))
        s++;
    while (end > s && isspace((unsigned char)end[-1]))
        end--;
    if (type == PARAM_BOOL)
        return parse_bool(s, (size_t)(end - s), value_out);
    if (end - s >= 2 && *s == '-' && isdigit((unsigned char)s[1]))
        return UNITS_NEGATIVE;
    bool hex = end - s > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
    if (hex && (type == PARAM_COUNT || type == PARAM_SIZE))
        return parse_hex(s + 2, end, value_out);

    struct decimal d;
    enum units_result r = parse_decimal(&s, end, &d);
    if (r != UNITS_OK)
        return r;
    while (s < end && isspace((unsigned char)*s))
        s++;
    const struct unit *units = units_of(type);
    const struct unit *u = find_unit(units, s, (size_t)(end - s));
    if (u == NULL && s == end) {
        if (d.digits != 0)
            return UNITS_NO_UNIT;
        *value_out = 0;
        return UNITS_OK;
    }
    if (u == NULL)
        return isalpha((unsigned char)*s) ? UNITS_BAD_UNIT : UNITS_SYNTAX;
    return scale_decimal(d, u->scale, value_out);
}

/* The largest decimal unit that is not above the value, with as many decimals as it needs. */
static void format_decimal(const struct unit *units, uint64_t value, char *buf)
{
    const struct unit *best = units;
    for (const struct unit *u = units; u->name != NULL; u++)
        if (u->scale <= value)
            best = u;
    uint64_t whole = value / best->scale, rest = value % best->scale;
    int n = snprintf(buf, UNITS_TEXT_BYTES, "%" PRIu64, whole);
    if (rest != 0) {
        buf[n++] = '.';
        for (uint64_t digit = best->scale / 10; rest != 0 && digit != 0; digit /= 10) {
            buf[n++] = (char)('0' + rest / digit);
            rest %= digit;
        }
    }
    snprintf(buf + n, UNITS_TEXT_BYTES - (size_t)n, "%s", best->name);
}

static void format_size(uint64_t value, char *buf)
{
    static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB"};
    unsigned power = 0;
    while (power < 4 && value != 0 && value % 1024 == 0) {
        value /= 1024;
        power++;
    }
    snprintf(buf, UNITS_TEXT_BYTES, "%" PRIu64 "%s", value, names[power]);
}

const char *units_format(enum param_type type, uint64_t value, char buf[static UNITS_TEXT_BYTES])
{
    switch (type) {
    case PARAM_BOOL:
        snprintf(buf, UNITS_TEXT_BYTES, "%s", value ? "true" : "false");
        break;
    case PARAM_SIZE:
        format_size(value, buf);
        break;
    case PARAM_TIME:
    case PARAM_FREQ:
        if (value == 0)
            snprintf(buf, UNITS_TEXT_BYTES, "0");
        else
            format_decimal(units_of(type), value, buf);
        break;
    default:
        snprintf(buf, UNITS_TEXT_BYTES, "%" PRIu64, value);
    }
    return buf;
}
