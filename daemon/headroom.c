// SPDX-License-Identifier: Apache-2.0
// Headroom; see headroom.h.
#include "daemon/headroom.h"

#include <stdlib.h>
#include <unistd.h>

// `at` between `full` (100) and `empty` (`least`), either of which may be the greater.
static unsigned slope(double at, double full, double empty, unsigned least)
{
    double part = (at - empty) / (full - empty);
    if (part >= 1)
        return 100;
    if (part <= 0)
        return least;
    return least + (unsigned)(part * (100 - least));
}

static unsigned least_of(unsigned a, unsigned b)
{
    if (a < b)
        return a;
    return b;
}

unsigned headroom_percent(const struct load *l)
{
    unsigned room = 100;
    if (l->load_average >= 0 && l->n_cores)
        room = least_of(room, slope(l->load_average / l->n_cores, 1, 4, 10));
    if (l->waiting_max)
        room = least_of(room, slope((double)l->waiting / (double)l->waiting_max, 0, 1, 0));
    if (l->active_max)
        room = least_of(room, slope((double)l->active / (double)l->active_max, 0, 1, 0));
    if (l->disk_bytes)
        room =
            least_of(room, slope((double)l->disk_room_bytes / (double)l->disk_bytes, 0.05, 0, 10));
    return room;
}

void headroom_measure(struct load *out)
{
    double average[1];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    out->load_average = getloadavg(average, 1) == 1 ? average[0] : -1;
    if (cores > 0)
        out->n_cores = (unsigned)cores;
    else
        out->n_cores = 1;
}
