// SPDX-License-Identifier: Apache-2.0
// The state of the limits of requests in the metrics; see limiting.h.
#include "daemon/limiting.h"

#include "base/clock.h"
#include "base/exposition.h"

void limiting_metrics(const struct app *app, struct buf *b)
{
    static const char name[] = "meridian_limited_total";
    struct throttle_status s;
    if (!app->throttle)
        return;
    throttle_status(app->throttle, clock_mono_ms(), &s);
    exposition_family(b, name, "counter", "Requests that a limit of the registry refused (429).");
    for (unsigned i = 0; i < N_RATE_SCOPES; i++)
        for (unsigned k = 0; k < N_REQUEST_CLASSES; k++) {
            exposition_begin(b, name);
            exposition_label(b, "scope", rate_scope_name((enum rate_scope)i));
            exposition_label(b, "class", request_class_name((enum request_class)k));
            exposition_value(b, (double)s.refused[i][k]);
        }
    exposition_single(b, "meridian_limit_buckets", "gauge",
                      "Token buckets of limits that are not full.", (double)s.used);
    exposition_single(b, "meridian_limit_bucket_places", "gauge", "Places for such buckets.",
                      (double)s.places);
    exposition_single(b, "meridian_limit_crowded_total", "counter",
                      "Requests judged by a shared bucket for want of a place.", (double)s.crowded);
}
