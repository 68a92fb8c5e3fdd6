/*
 * The frame of every unit test: one program per file, each test a function whose name is the
 * sentence it proves.
 *
 *     static void ties_break_by_source_then_sequence(void) { CU_ASSERT_EQUAL(...); }
 *     UNIT_MAIN("pdes/queue", UNIT(ties_break_by_source_then_sequence))
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <CUnit/Basic.h>
#include <stdio.h>

struct unit_test {
    const char *name;
    CU_TestFunc run;
};
#define UNIT(f) {#f, f}

static inline int unit_run(const char *suite_name, const struct unit_test *tests, size_t ntests)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    for (size_t i = 0; i < ntests; i++)
        if (CU_add_test(suite, tests[i].name, tests[i].run) == NULL)
            return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}

#define UNIT_MAIN(suite_name, ...)                                                  \
    int main(void)                                                                  \
    {                                                                               \
        static const struct unit_test tests[] = {__VA_ARGS__};                      \
        return unit_run(suite_name, tests, sizeof tests / sizeof tests[0]);         \
    }

#endif
