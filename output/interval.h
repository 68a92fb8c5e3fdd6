/*
 * Means with 95 % confidence intervals from few repeats: Student's t, and Welch's form of it for
 * the difference of two means whose spreads may differ (B. L. Welch, Biometrika 34, 1947).
 *
 * Assumed: the repeats are independent draws of one distribution that is not far from normal.
 */
#ifndef OUTPUT_INTERVAL_H
#define OUTPUT_INTERVAL_H

#include "pdes/types.h"

/* mean - half to mean + half; half is infinite where the values cannot tell (one value). */
struct interval {
    double mean, half;
};

/* t such that 95 % of Student's distribution with `df` degrees of freedom (real, > 0) lie in +-t. */
double student_t95(double df);

/* n > 0 values. */
struct interval interval_of(const double *values, size_t n);

/* Of mean(b) - mean(a). A side of one value has no spread of its own: the interval is infinite. */
struct interval interval_difference(const double *a, size_t na, const double *b, size_t nb);

/* 0 lies outside of the interval. */
static inline bool interval_excludes_zero(struct interval i)
{
    return i.mean > i.half || i.mean < -i.half;
}

#endif
