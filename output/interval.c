/*
 * See interval.h. The distribution function of t is the regularised incomplete beta function
 * I_x(df/2, 1/2) at x = df / (df + t^2), computed by its continued fraction (NIST DLMF 8.17.22);
 * t is found by halving. That is some thousand operations, and done a few dozen times.
 */
#include "output/interval.h"

#include <math.h>

#define LEVEL 0.95

/* The continued fraction by Lentz's method; converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m < 1000; m++) {
        for (int odd = 0; odd < 2; odd++) {
            double k = odd ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                           : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
            d = 1 + k * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + k / c;
            c = fabs(c) < tiny ? tiny : c;
            f *= c * d;
        }
        if (fabs(c * d - 1) < 1e-14)
            break;
    }
    return f;
}

static double beta_inc(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_t95(double df)
{
    double low = 0, high = 16;
    while (beta_inc(df / 2, 0.5, df / (df + high * high)) > 1 - LEVEL)
        high *= 2;
    for (int i = 0; i < 100; i++) {
        double t = (low + high) / 2;
        if (beta_inc(df / 2, 0.5, df / (df + t * t)) > 1 - LEVEL)
            low = t;
        else
            high = t;
    }
    return (low + high) / 2;
}

/* The mean, and the variance of this mean (infinite with one value). */
static double mean_of(const double *values, size_t n, double *variance_out)
{
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        mean += values[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    *variance_out = n < 2 ? INFINITY : squares / (double)(n - 1) / (double)n;
    return mean;
}

struct interval interval_of(const double *values, size_t n)
{
    double variance, mean = mean_of(values, n, &variance);
    if (isinf(variance) || variance <= 0)
        return (struct interval){mean, variance};
    return (struct interval){mean, student_t95((double)(n - 1)) * sqrt(variance)};
}

struct interval interval_difference(const double *a, size_t na, const double *b, size_t nb)
{
    double va, vb, mean = mean_of(b, nb, &vb) - mean_of(a, na, &va), v = va + vb;
    if (isinf(v) || v <= 0)
        return (struct interval){mean, v};
    double df = v * v / (va * va / (double)(na - 1) + vb * vb / (double)(nb - 1));
    return (struct interval){mean, student_t95(df) * sqrt(v)};
}
