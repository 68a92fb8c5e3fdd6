/* Values with units: exact integers, exact refusals. */
#include "configs/units.h"
#include "tests/unit/unit.h"

#include <string.h>

static uint64_t value_of(enum param_type type, const char *text)
{
    uint64_t v = UINT64_C(0xDEAD);
    CU_ASSERT_EQUAL(units_parse(type, text, &v), UNITS_OK);
    return v;
}

static enum units_result result_of(enum param_type type, const char *text)
{
    uint64_t v = 77;
    enum units_result r = units_parse(type, text, &v);
    CU_ASSERT(r == UNITS_OK || v == 77);
    return r;
}

static void times_are_exact_femtoseconds(void)
{
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "13.75ns"), 13750000);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "1us"), 1000000000);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "500ps"), 500000);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "0.1ns"), 100000);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "0.000001ns"), 1);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "0.333333333333333s"), 333333333333333);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "3fs"), 3);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, " 1.5 ms "), 1500000000000);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "18446.744073709551615s"), UINT64_MAX);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "0"), 0);
    CU_ASSERT_EQUAL(value_of(PARAM_TIME, "1.000000000000000000000000s"), FS_PER_S);
}

static void sizes_know_binary_and_decimal_units(void)
{
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "48KiB"), 49152);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "2MiB"), 2097152);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "1GiB"), 1073741824);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "1TiB"), UINT64_C(1) << 40);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "1.5MiB"), 1572864);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "1KB"), 1000);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "4096"), 4096);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "64B"), 64);
    CU_ASSERT_EQUAL(value_of(PARAM_SIZE, "0x1000"), 4096);
}

static void frequencies_take_decimals_that_divide_out(void)
{
    CU_ASSERT_EQUAL(value_of(PARAM_FREQ, "3GHz"), 3000000000);
    CU_ASSERT_EQUAL(value_of(PARAM_FREQ, "2.9GHz"), 2900000000);
    CU_ASSERT_EQUAL(value_of(PARAM_FREQ, "200MHz"), 200000000);
    CU_ASSERT_EQUAL(result_of(PARAM_FREQ, "1.5Hz"), UNITS_INEXACT);
    CU_ASSERT_EQUAL(result_of(PARAM_FREQ, "3ghz"), UNITS_BAD_UNIT);
}

static void counts_know_k_M_and_G(void)
{
    CU_ASSERT_EQUAL(value_of(PARAM_COUNT, "64"), 64);
    CU_ASSERT_EQUAL(value_of(PARAM_COUNT, "2.5k"), 2500);
    CU_ASSERT_EQUAL(value_of(PARAM_COUNT, "10M"), 10000000);
    CU_ASSERT_EQUAL(value_of(PARAM_COUNT, "1G"), 1000000000);
    CU_ASSERT_EQUAL(value_of(PARAM_COUNT, "18446744073709551615"), UINT64_MAX);
    CU_ASSERT_EQUAL(value_of(PARAM_COUNT, "0xFfFfFfFfFfFfFfFf"), UINT64_MAX);
}

static void booleans_have_three_spellings_of_each(void)
{
    CU_ASSERT_EQUAL(value_of(PARAM_BOOL, "true"), 1);
    CU_ASSERT_EQUAL(value_of(PARAM_BOOL, "Yes"), 1);
    CU_ASSERT_EQUAL(value_of(PARAM_BOOL, "on"), 1);
    CU_ASSERT_EQUAL(value_of(PARAM_BOOL, "false"), 0);
    CU_ASSERT_EQUAL(value_of(PARAM_BOOL, "no"), 0);
    CU_ASSERT_EQUAL(value_of(PARAM_BOOL, "OFF"), 0);
    CU_ASSERT_EQUAL(result_of(PARAM_BOOL, "1"), UNITS_SYNTAX);
}

static void what_is_wrong_is_told_apart(void)
{
    CU_ASSERT_EQUAL(result_of(PARAM_TIME, "13"), UNITS_NO_UNIT);
    CU_ASSERT_EQUAL(result_of(PARAM_FREQ, "3"), UNITS_NO_UNIT);
    CU_ASSERT_EQUAL(result_of(PARAM_TIME, "13cycles"), UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(result_of(PARAM_SIZE, "4K"), UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(result_of(PARAM_TIME, "0.5fs"), UNITS_INEXACT);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "2.5"), UNITS_INEXACT);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "1.0000000000000000001"), UNITS_INEXACT);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "-5"), UNITS_NEGATIVE);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "18446744073709551616"), UNITS_OVERFLOW);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "0x10000000000000000"), UNITS_OVERFLOW);
    CU_ASSERT_EQUAL(result_of(PARAM_TIME, "18446.744073709551616s"), UNITS_OVERFLOW);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "abc"), UNITS_SYNTAX);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, ""), UNITS_SYNTAX);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "1."), UNITS_SYNTAX);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, ".5"), UNITS_SYNTAX);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "1,5"), UNITS_SYNTAX);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "0x"), UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "0xg"), UNITS_SYNTAX);
    CU_ASSERT_EQUAL(result_of(PARAM_COUNT, "1e3"), UNITS_BAD_UNIT);
}

static void formats_are_short_and_exact(void)
{
    char buf[UNITS_TEXT_BYTES];
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_TIME, 13750000, buf), "13.75ns");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_TIME, 333333, buf), "333.333ps");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_TIME, 1000000000, buf), "1us");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_TIME, 7, buf), "7fs");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_TIME, 0, buf), "0");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_TIME, UINT64_MAX, buf), "18446.744073709551615s");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_SIZE, 49152, buf), "48KiB");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_SIZE, 1000, buf), "1000");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_SIZE, 0, buf), "0");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_SIZE, UINT64_C(1) << 50, buf), "1024TiB");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_FREQ, 2900000000, buf), "2.9GHz");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_COUNT, 10000000, buf), "10000000");
    CU_ASSERT_STRING_EQUAL(units_format(PARAM_BOOL, 1, buf), "true");
}

static void every_value_reads_back_to_itself(void)
{
    static const enum param_type types[] = {PARAM_COUNT, PARAM_SIZE, PARAM_TIME, PARAM_FREQ};
    uint64_t x = 1;
    char buf[UNITS_TEXT_BYTES];
    for (int i = 0; i < 20000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t v = x >> (i % 64);
        if (i % 3 == 0)
            v -= v % 1000000;
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
            uint64_t back = 0;
            if (units_parse(types[t], units_format(types[t], v, buf), &back) != UNITS_OK ||
                back != v) {
                CU_FAIL("a value does not read back");
                return;
            }
        }
    }
}

UNIT_MAIN("configs/units", UNIT(times_are_exact_femtoseconds),
          UNIT(sizes_know_binary_and_decimal_units),
          UNIT(frequencies_take_decimals_that_divide_out), UNIT(counts_know_k_M_and_G),
          UNIT(booleans_have_three_spellings_of_each), UNIT(what_is_wrong_is_told_apart),
          UNIT(formats_are_short_and_exact), UNIT(every_value_reads_back_to_itself))
