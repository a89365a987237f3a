// SPDX-License-Identifier: Apache-2.0
// resolver/metrics and base/exposition: what is counted under which labels, that labels outlive a
// topology and stay few, that hostile names cannot break the text, and that every line is one that
// Prometheus reads.
#include "resolver/log/metrics.h"

#include "base/exposition.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <stdio.h>
#include <string.h>

struct rig {
    struct topology *t;
    struct health_verdicts *v;
    struct metrics_names *names;
    struct metrics *m;
    struct buf text;
};

static void rig_start(struct rig *g, region_set down)
{
    g->t = fixture_topology();
    g->v = fixture_verdicts(g->t, down);
    g->names = metrics_names_new();
    g->m = mem_zalloc(sizeof *g->m);
    metrics_topology(g->m, g->names, g->t);
    buf_init(&g->text, 1 << 20);
}

static void rig_stop(struct rig *g)
{
    buf_done(&g->text);
    free(g->m);
    metrics_names_free(g->names);
    snapshot_unref(g->v);
    snapshot_unref(g->t);
}

static const char *rig_text(struct rig *g)
{
    buf_clear(&g->text);
    metrics_write(g->names, (const struct metrics *const *)&g->m, 1, &g->text);
    ck_assert_int_eq(g->text.err, 0);
    return buf_cstr(&g->text);
}

static void ask(struct rig *g, const char *name, uint16_t type, const char *source,
                enum answer_transport transport)
{
    struct fixture_answer *a = mem_zalloc(sizeof *a);
    struct answer_context c = {
        .topology = g->t, .health = g->v, .transport = transport, .source = fixture_ip(source)};
    fixture_ask(&c, name, type, -1, a);
    metrics_count(g->m, &c, &a->info);
    fixture_answer_done(a);
    free(a);
}

static void has(const char *text, const char *line)
{
    const char *p = strstr(text, line);
    ck_assert_msg(p && (p == text || p[-1] == '\n') && p[strlen(line)] == '\n', "%s is not in:\n%s",
                  line, text);
}

START_TEST(every_answer_is_counted_under_its_labels)
{
    struct rig g;
    rig_start(&g, 0);
    ask(&g, "contoso.example.io", T_A, "192.0.2.99", ANSWER_UDP);
    ask(&g, "contoso.example.io", T_AAAA, "192.0.2.99", ANSWER_UDP);
    // ends in the view's private address: no region
    ask(&g, "contoso.example.io", T_A, "10.1.2.3", ANSWER_TCP);
    ask(&g, "fabrikam.example.io", T_A, "198.51.100.1", ANSWER_UDP);
    ask(&g, "drained.example.io", T_A, "192.0.2.99", ANSWER_UDP);
    ask(&g, "nobody0.example.io", 4711, "192.0.2.99", ANSWER_UDP);
    ask(&g, "example.org", T_A, "192.0.2.99", ANSWER_UDP);
    ask(&g, "fabrikam.westeurope.geo.example.io", T_A, "192.0.2.99", ANSWER_UDP);
    const char *text = rig_text(&g);
    has(text, "meridian_dns_queries_total{view=\"public\",kind=\"global\",rcode=\"NOERROR\","
              "transport=\"udp\"} 4");
    has(text, "meridian_dns_queries_total{view=\"corp\",kind=\"global\",rcode=\"NOERROR\","
              "transport=\"tcp\"} 1");
    has(text, "meridian_dns_queries_total{view=\"public\",kind=\"global\",rcode=\"NXDOMAIN\","
              "transport=\"udp\"} 1");
    has(text, "meridian_dns_queries_total{view=\"public\",kind=\"foreign\",rcode=\"REFUSED\","
              "transport=\"udp\"} 1");
    has(text, "meridian_dns_queries_total{view=\"public\",kind=\"regional\",rcode=\"NOERROR\","
              "transport=\"udp\"} 1");
    has(text, "meridian_dns_questions_total{type=\"A\"} 6");
    has(text, "meridian_dns_questions_total{type=\"AAAA\"} 1");
    has(text, "meridian_dns_questions_total{type=\"other\"} 1");
    has(text, "meridian_dns_routed_total{region=\"eastus\",reason=\"healthy\"} 2");
    has(text, "meridian_dns_routed_total{region=\"westeurope\",reason=\"healthy\"} 1");
    has(text, "meridian_dns_routed_total{region=\"eastus\",reason=\"all_drained\"} 1");
    has(text, "meridian_dns_truncated_total 0");
    rig_stop(&g);
}
END_TEST

START_TEST(fail_open_is_told_from_healthy)
{
    struct rig g;
    rig_start(&g, 7); // all
    ask(&g, "contoso.example.io", T_A, "192.0.2.99", ANSWER_UDP);
    has(rig_text(&g), "meridian_dns_routed_total{region=\"eastus\",reason=\"fail_open\"} 1");
    rig_stop(&g);
}
END_TEST

START_TEST(what_is_no_query_is_counted_as_dropped)
{
    struct rig g;
    struct answer_context c = {.transport = ANSWER_UDP};
    struct answer_info info;
    uint8_t out[512];
    rig_start(&g, 0);
    c.topology = g.t;
    ck_assert_uint_eq(answer_packet(&c, (const uint8_t *)"short", 5, out, sizeof out, &info), 0);
    metrics_count(g.m, &c, &info);
    has(rig_text(&g), "meridian_dns_queries_total{view=\"public\",kind=\"invalid\",rcode="
                      "\"dropped\",transport=\"udp\"} 1");
    ck_assert_ptr_null(strstr(rig_text(&g), "questions_total{type"));
    rig_stop(&g);
}
END_TEST

START_TEST(labels_outlive_a_topology_and_are_few)
{
    struct rig g;
    AUTO_FREE struct metrics *second = mem_zalloc(sizeof *second);
    rig_start(&g, 0);
    ask(&g, "contoso.example.io", T_A, "192.0.2.99", ANSWER_UDP); // eastus
    // the same regions in another order, and more views than there are slots
    struct topology other = *g.t;
    struct region regions[2] = {g.t->regions[1], g.t->regions[0]};
    static struct view views[METRICS_VIEWS_SEEN + 8];
    static char names[METRICS_VIEWS_SEEN + 8][16];
    for (size_t i = 0; i < ARRAY_LEN(views); i++) {
        snprintf(names[i], sizeof names[i], "view%zu", i);
        views[i] = (struct view){.name = names[i]};
    }
    other.regions = regions;
    other.n_regions = 2;
    other.views = views;
    other.n_views = ARRAY_LEN(views);
    metrics_topology(second, g.names, &other);
    struct answer_context c = {.transport = ANSWER_UDP};
    struct answer_info info = {
        .kind = NAME_GLOBAL, .region = 1, .mode = ROUTE_HEALTHY, .view = &views[0]};
    metrics_count(second, &c, &info); // eastus again, by its new number
    info.view = &views[ARRAY_LEN(views) - 1];
    metrics_count(second, &c, &info);
    info.view = &views[METRICS_VIEWS];
    metrics_count(second, &c, &info);
    const struct metrics *list[] = {g.m, second};
    buf_clear(&g.text);
    metrics_write(g.names, list, 2, &g.text);
    has(buf_cstr(&g.text), "meridian_dns_routed_total{region=\"eastus\",reason=\"healthy\"} 4");
    has(buf_cstr(&g.text), "meridian_dns_queries_total{view=\"other\",kind=\"global\",rcode="
                           "\"NOERROR\",transport=\"udp\"} 2");
    has(buf_cstr(&g.text), "meridian_dns_queries_total{view=\"view0\",kind=\"global\",rcode="
                           "\"NOERROR\",transport=\"udp\"} 1");
    rig_stop(&g);
}
END_TEST

START_TEST(signatures_looked_up_are_counted_by_class_and_outcome)
{
    struct rig g;
    rig_start(&g, 0);
    struct answer_info info = {.looked_up = true, .lookups = {{2, 0, 1}, {0, 3, 0}}};
    metrics_lookups(g.m, &info); // parked
    info = (struct answer_info){.looked_up = true, .lookups = {{3, 0, 0}}, .region = REGION_NONE};
    struct answer_context c = {.topology = g.t};
    metrics_count(g.m, &c, &info);
    const char *text = rig_text(&g);
    has(text, "meridian_dns_signature_lookups_total{class=\"name\",outcome=\"hit\"} 5");
    has(text, "meridian_dns_signature_lookups_total{class=\"name\",outcome=\"miss\"} 1");
    has(text, "meridian_dns_signature_lookups_total{class=\"denial\",outcome=\"before\"} 3");
    has(text, "meridian_dns_signature_lookups_total{class=\"denial\",outcome=\"hit\"} 0");
    rig_stop(&g);
}
END_TEST

START_TEST(the_histogram_is_cumulative_and_weighs_a_batch_by_its_queries)
{
    struct rig g;
    rig_start(&g, 0);
    unsigned timed = 0;
    for (unsigned i = 0; i < 10 * METRICS_EVERY; i++)
        timed += metrics_due(g.m);
    ck_assert_uint_eq(timed, 10);
    metrics_batch(g.m, 32, 5); // the bound belongs to its bucket
    metrics_batch(g.m, 1, 6);
    metrics_batch(g.m, 2, 5000000);
    metrics_batch(g.m, 1, -3); // a clock that was set back under a test
    const char *text = rig_text(&g);
    has(text, "meridian_dns_answer_duration_seconds_bucket{le=\"5e-06\"} 33");
    has(text, "meridian_dns_answer_duration_seconds_bucket{le=\"1e-05\"} 34");
    has(text, "meridian_dns_answer_duration_seconds_bucket{le=\"1\"} 34");
    has(text, "meridian_dns_answer_duration_seconds_bucket{le=\"+Inf\"} 36");
    has(text, "meridian_dns_answer_duration_seconds_count 36");
    has(text, "meridian_dns_answer_duration_seconds_sum 10.000166");
    rig_stop(&g);
}
END_TEST

START_TEST(label_values_are_escaped_and_figures_whole)
{
    struct buf b;
    buf_init(&b, 4096);
    exposition_family(&b, "x_total", "counter", "A test.");
    exposition_begin(&b, "x_total");
    exposition_label(&b, "a", "q\"uo\\te\nline\x01\x7f");
    exposition_label(&b, "b", "");
    exposition_value(&b, 9007199254740991.0);
    exposition_begin(&b, "x_total");
    exposition_value(&b, 0.25);
    ck_assert_str_eq(
        buf_cstr(&b),
        "# HELP x_total A test.\n# TYPE x_total counter\n"
        "x_total{a=\"q\\\"uo\\\\te\\nline??\",b=\"\"} 9007199254740991\nx_total 0.25\n");
    buf_done(&b);
    buf_init(&b, 8); // what does not fit is latched, and nothing breaks
    exposition_single(&b, "x", "gauge", "h", 1);
    exposition_label(&b, "l", "v");
    ck_assert_int_ne(b.err, 0);
    buf_done(&b);
}
END_TEST

CHECK_MAIN("resolver/metrics", every_answer_is_counted_under_its_labels,
           fail_open_is_told_from_healthy, what_is_no_query_is_counted_as_dropped,
           labels_outlive_a_topology_and_are_few,
           signatures_looked_up_are_counted_by_class_and_outcome,
           the_histogram_is_cumulative_and_weighs_a_batch_by_its_queries,
           label_values_are_escaped_and_figures_whole)
