/* See mix_metrics.h. */
#include "partitions/mix_metrics.h"

__extension__ typedef unsigned __int128 u128;

static uint64_t divide(u128 a, u128 b) { return (uint64_t)((a + b / 2) / b); }

/* PPM * a.instructions * b.time / (b.instructions * a.time): how much faster a is than b. */
static uint64_t speed_ppm(const struct mix_pass *a, const struct mix_pass *b)
{
    u128 over = (u128)a->instructions * b->time_fs, under = (u128)b->instructions * a->time_fs;
    if (under == 0)
        return 0;
    while (over >> 100 != 0) { /* beyond 10^30: exact to 2^-80 */
        over >>= 1;
        under >>= 1;
    }
    return divide(over * PPM, under);
}

uint64_t mix_slowdown_ppm(const struct mix_pass *alone, const struct mix_pass *together)
{
    return speed_ppm(alone, together);
}

bool mix_metrics_of(const struct mix_pass *alone, const struct mix_pass *together, uint32_t n,
                    struct mix_metrics *out)
{
    uint64_t sum = 0, stp = 0, least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t ntt = speed_ppm(&alone[i], &together[i]), progress = speed_ppm(&together[i], &alone[i]);
        if (ntt == 0 || progress == 0)
            return false;
        sum += ntt;
        stp += progress;
        least = u64_min(least, progress);
        most = u64_max(most, progress);
    }
    if (n == 0)
        return false;
    *out = (struct mix_metrics){divide(sum, n), stp, divide((u128)least * PPM, most)};
    return true;
}
