// SPDX-License-Identifier: Apache-2.0
// What the node has served, in the metrics; see served.h.
#include "daemon/served.h"

#include "base/exposition.h"
#include "net/traffic.h"

static void write_uploads(const struct app *app, struct buf *b)
{
    uint64_t n;
    if (app->meta && !meta_uploads_count(app->meta, &n))
        exposition_single(b, "meridian_uploads_open", "gauge", "Uploads that are open.", (double)n);
}

static void write_certificates(const struct app *app, struct buf *b)
{
    static const char name[] = "meridian_certificate_expiry_timestamp_seconds";
    static const enum cert_kind kinds[] = {CERT_REGION, CERT_SHARED, CERT_PEER};
    char error[CERTS_ERROR_SIZE];
    struct cert_info info;
    if (!app->certs)
        return;
    exposition_family(b, name, "gauge", "When a certificate of this node ends, Unix time.");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (certs_look(app->certs, kinds[i], &info, error) || !info.not_after_ms)
            continue;
        exposition_begin(b, name);
        exposition_label(b, "certificate", cert_kind_name(kinds[i]));
        exposition_value(b, (double)info.not_after_ms / 1000);
    }
}

void served_metrics(const struct app *app, struct buf *b)
{
    if (app->registry || app->auth)
        traffic_write(app->node->region, b);
    write_uploads(app, b);
    write_certificates(app, b);
}
