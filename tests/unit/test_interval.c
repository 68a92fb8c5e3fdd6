/* Means, Student's t and Welch's interval, against printed tables and numbers worked by hand. */
#include "output/interval.h"
#include "tests/unit/unit.h"

#include <math.h>

static void t_is_that_of_the_printed_tables(void)
{
    /* Two-sided 95 %: the closed forms for 1 and 2 degrees of freedom, then table values. */
    CU_ASSERT_DOUBLE_EQUAL(student_t95(1), tan(M_PI * 0.475), 1e-9);            /* 12.7062 */
    CU_ASSERT_DOUBLE_EQUAL(student_t95(2), 0.95 * sqrt(2 / (1 - 0.9025)), 1e-9); /* 4.30265 */
    CU_ASSERT_DOUBLE_EQUAL(student_t95(3), 3.18245, 5e-6);
    CU_ASSERT_DOUBLE_EQUAL(student_t95(4), 2.77645, 5e-6);
    CU_ASSERT_DOUBLE_EQUAL(student_t95(9), 2.26216, 5e-6);
    CU_ASSERT_DOUBLE_EQUAL(student_t95(30), 2.04227, 5e-6);
    CU_ASSERT_DOUBLE_EQUAL(student_t95(1e7), 1.95996, 5e-6);
}

static void a_mean_of_three_has_the_interval_worked_by_hand(void)
{
    /* 9, 10, 11: mean 10, variance 1, of the mean 1/3; half = 4.302653 x 0.577350 = 2.484138 */
    struct interval i = interval_of((double[]){11, 9, 10}, 3);
    CU_ASSERT_DOUBLE_EQUAL(i.mean, 10, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(i.half, 2.484138, 1e-6);
}

static void one_value_has_no_interval(void)
{
    struct interval i = interval_of((double[]){7}, 1);
    CU_ASSERT(i.mean == 7 && isinf(i.half));
    CU_ASSERT_FALSE(interval_excludes_zero(i));
    CU_ASSERT(isinf(interval_difference((double[]){7}, 1, (double[]){1, 2}, 2).half));
}

static void equal_values_have_an_interval_of_nothing(void)
{
    struct interval i = interval_of((double[]){5, 5, 5}, 3);
    CU_ASSERT(i.mean == 5 && i.half == 0);
    CU_ASSERT_TRUE(interval_excludes_zero(interval_difference((double[]){5, 5}, 2, (double[]){6, 6}, 2)));
    CU_ASSERT_FALSE(interval_excludes_zero(interval_difference((double[]){5, 5}, 2, (double[]){5, 5}, 2)));
}

static void welch_weighs_each_side_by_its_own_spread(void)
{
    /*
     * a = 1, 2, 3: variance of the mean 1/3. b = 4, 8, 12, 16: mean 10, variance 80/3, of the mean 20/3.
     * Sum 7; degrees of freedom 49 / ((1/9) / 2 + (400/9) / 3) = 49 x 54 / 803 = 3.2951.
     * t lies between 3.18245 (3 degrees) and 2.77645 (4).
     */
    struct interval d = interval_difference((double[]){1, 2, 3}, 3, (double[]){4, 8, 12, 16}, 4);
    double df = 49 / (1.0 / 18 + 400.0 / 27);
    CU_ASSERT_DOUBLE_EQUAL(df, 3.295, 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(d.mean, 8, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(d.half, student_t95(df) * sqrt(7), 1e-9);
    CU_ASSERT(d.half > 2.77645 * sqrt(7) && d.half < 3.18245 * sqrt(7));
}

static void welch_of_equal_sides_is_the_t_of_twice_the_freedom(void)
{
    /* Both 9, 10, 11: df = (2/3)^2 / (2 x (1/9) / 2) = 4; half = 2.776445 x sqrt(2/3) = 2.266958 */
    struct interval d = interval_difference((double[]){9, 10, 11}, 3, (double[]){9, 10, 11}, 3);
    CU_ASSERT_DOUBLE_EQUAL(d.half, 2.266958, 1e-6);
    CU_ASSERT_FALSE(interval_excludes_zero(d));
    CU_ASSERT_TRUE(interval_excludes_zero(
        interval_difference((double[]){9, 10, 11}, 3, (double[]){12, 13, 14}, 3)));
}

UNIT_MAIN("output/interval", UNIT(t_is_that_of_the_printed_tables),
          UNIT(a_mean_of_three_has_the_interval_worked_by_hand), UNIT(one_value_has_no_interval),
          UNIT(equal_values_have_an_interval_of_nothing), UNIT(welch_weighs_each_side_by_its_own_spread),
          UNIT(welch_of_equal_sides_is_the_t_of_twice_the_freedom))
