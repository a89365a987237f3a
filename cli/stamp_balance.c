// SPDX-License-Identifier: Apache-2.0
// `meridian stamp balance`: which registries of a region should move to which stamp, and why, of a file
// of loads. The decision is lifecycle/balance; this shows it, and changes nothing.
#include "cli/stamp_balance.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/balance_file.h"

#include <stdio.h>
#include <string.h>

static const char *const heats[] = {"unknown", "cool", "hot"};
static const char *const outcomes[] = {"nothing", "move", "isolate", "resize", "held"};
static const char *const fates[] = {"notNeeded", "moves", "noRoom", "rests", "noHelp"};
static const char *const canary_states[] = {"waits", "good", "back"};

struct shown {
    struct cli *c;
    const struct balance_file *f;
    const struct balance_plan *p;
};

static const char *percent(const struct shown *x, unsigned permille)
{
    return arena_printf(&x->c->arena, "%u.%u %%", permille / 10, permille % 10);
}

static const char *time_text(const struct shown *x, int64_t at_s)
{
    char text[CLOCK_TEXT_SIZE];
    return arena_strdup(&x->c->arena, clock_format_s(at_s, text));
}

static const char *watch_words(const struct shown *x, int64_t watch_s)
{
    if (watch_s < 3600)
        return arena_printf(&x->c->arena, "%lld min", (long long)watch_s / 60);
    return arena_printf(&x->c->arena, "%lld h", (long long)watch_s / 3600);
}

static const char *stamp_name(const struct shown *x, size_t i)
{
    if (i >= x->f->in.n_stamps)
        return NULL;
    return x->f->in.stamps[i].name;
}

static const char *registry_name(const struct shown *x, const struct balance_candidate *k)
{
    return x->f->in.stamps[x->p->from].load.registries[k->registry].name;
}

static const char *command_of(const struct shown *x, const struct balance_candidate *k)
{
    return arena_printf(&x->c->arena, "meridian replication update %s/%s --stamp %s",
                        registry_name(x, k), x->f->region, stamp_name(x, k->to));
}

static const struct balance_candidate *moved(const struct shown *x, size_t wave, size_t i)
{
    return &x->p->candidates[x->p->order[x->p->waves[wave].first + i]];
}

// ---- sentences ----

static const char *held_words(const struct shown *x)
{
    const char *out = "";
    for (unsigned bit = 1; bit <= HELD_RESTING; bit <<= 1)
        if (x->p->held & bit)
            out = arena_printf(&x->c->arena, "%s%s%s", out, *out ? "; " : "",
                               balance_held_text((enum balance_held)bit));
    return out;
}

static const char *isolate_words(const struct shown *x)
{
    const struct balance_candidate *k = &x->p->candidates[x->p->alone];
    const char *nearest = "no other stamp is open";
    if (stamp_name(x, k->to))
        nearest = arena_printf(&x->c->arena, "%s would come to a P95 of %s with it",
                               stamp_name(x, k->to), percent(x, k->forecast));
    return arena_printf(&x->c->arena,
                        "%s is hot, and no stamp has room for %s, which is %s of its load (%s): "
                        "give it a stamp of its own. Nothing moves.",
                        stamp_name(x, x->p->from), registry_name(x, k), percent(x, k->share),
                        nearest);
}

static const char *advice(const struct shown *x)
{
    const char *from = stamp_name(x, x->p->from);
    switch (x->p->outcome) {
    case BALANCE_MOVES_ADVISED:
        return arena_printf(
            &x->c->arena, "%s is hot: %s. With these moves its P95 would be %s, of %s now.", from,
            load_cause_text(x->p->verdicts[x->p->from].cause), percent(x, x->p->p95_after),
            percent(x, x->p->verdicts[x->p->from].days[0].p95));
    case BALANCE_ISOLATE:
        return isolate_words(x);
    case BALANCE_RESIZE:
        return arena_printf(&x->c->arena,
                            "%s is hot, and no move would cool it: give it larger nodes, or more "
                            "of them. Nothing moves.",
                            from);
    case BALANCE_HELD:
        return arena_printf(&x->c->arena, "Nothing is advised now: %s.", held_words(x));
    default:
        return "No stamp is hot: nothing moves.";
    }
}

static const char *fate_words(const struct shown *x, const struct balance_candidate *k)
{
    const char *to = stamp_name(x, k->to);
    switch (k->fate) {
    case FATE_MOVES:
        return arena_printf(&x->c->arena, "to %s, whose P95 would be %s", to,
                            percent(x, k->forecast));
    case FATE_NO_ROOM:
        if (!to)
            return "no stamp may take it now";
        return arena_printf(&x->c->arena, "no room: with it the P95 of %s would be %s", to,
                            percent(x, k->forecast));
    case FATE_RESTS:
        return arena_printf(&x->c->arena, "it moved lately, and rests until %s",
                            time_text(x, k->rests_until_s));
    case FATE_NO_HELP:
        return "it could move, but the stamp would be hot all the same";
    default:
        return "not needed";
    }
}

// What of the canary's wave is to be done: a canary alone is the least that a wave has.
static struct wave_next after_canary(const struct shown *x, const struct canary_verdict *v)
{
    struct balance_wave w = {.n = x->f->n_canary_wave};
    if (!w.n)
        w.n = 1;
    return wave_next(&w, v);
}

static const char *canary_words(const struct shown *x, const struct canary_verdict *v)
{
    const char *unit = "in a million requests";
    if (v->cause == CANARY_SLOW)
        unit = "ms";
    if (v->state == CANARY_WAITS)
        return arena_printf(&x->c->arena, "it is judged from %s on", time_text(x, v->until_s));
    if (v->state == CANARY_GOOD)
        return arena_printf(&x->c->arena, "it fares well, and the other %zu of its wave follow%s%s",
                            after_canary(x, v).n, v->cause ? ": " : "",
                            canary_cause_text(v->cause));
    return arena_printf(&x->c->arena,
                        "%s (%llu %s, and %llu were to be expected): it goes back, and its wave "
                        "is stopped",
                        canary_cause_text(v->cause), (unsigned long long)v->is, unit,
                        (unsigned long long)v->expected);
}

// ---- JSON ----

static json_t *stamp_json(const struct shown *x, size_t i)
{
    const struct load_verdict *v = &x->p->verdicts[i];
    const char *cause = load_cause_text(v->cause);
    json_t *days = json_array();
    for (size_t d = 0; d < LOAD_DAYS; d++) {
        const struct load_figures *f = &v->days[d];
        json_array_append_new(days,
                              json_pack("{s:b, s:i, s:i, s:i, s:i}", "known", (int)f->known,
                                        "p95Permille", (int)f->p95, "meanPermille", (int)f->mean,
                                        "maxPermille", (int)f->max, "bins", (int)f->n_bins));
    }
    json_t *o = json_pack("{s:s, s:s, s:s?, s:o}", "name", stamp_name(x, i), "heat", heats[v->heat],
                          "cause", *cause ? cause : NULL, "days", days);
    if (x->p->watched_until_s[i])
        json_object_set_new(o, "watchedUntil", json_string(time_text(x, x->p->watched_until_s[i])));
    return o;
}

static json_t *candidate_json(const struct shown *x, const struct balance_candidate *k)
{
    return json_pack("{s:s, s:i, s:s, s:s?, s:i, s:s}", "registry", registry_name(x, k),
                     "sharePermille", (int)k->share, "fate", fates[k->fate], "stamp",
                     stamp_name(x, k->to), "forecastP95Permille", (int)k->forecast, "why",
                     fate_words(x, k));
}

static json_t *wave_json(const struct shown *x, size_t w)
{
    const struct balance_wave *wave = &x->p->waves[w];
    json_t *moves = json_array();
    for (size_t i = 0; i < wave->n; i++) {
        const struct balance_candidate *k = moved(x, w, i);
        json_array_append_new(
            moves, json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:s}", "registry", registry_name(x, k),
                             "from", stamp_name(x, x->p->from), "to", stamp_name(x, k->to),
                             "sharePermille", (int)k->share, "forecastP95Permille",
                             (int)k->forecast, "canary", (int)!i, "command", command_of(x, k)));
    }
    return json_pack("{s:s, s:s, s:I, s:o}", "kind", wave_kind_text(wave->kind), "begins",
                     time_text(x, x->p->begins_s[w]), "watchSeconds", (json_int_t)wave->watch_s,
                     "moves", moves);
}

static json_t *plan_json(const struct shown *x, const struct canary_verdict *canary)
{
    json_t *stamps = json_array(), *waves = json_array(), *candidates = json_array();
    const char *isolate = NULL;
    for (size_t i = 0; i < x->f->in.n_stamps; i++)
        json_array_append_new(stamps, stamp_json(x, i));
    for (size_t i = 0; i < x->p->n_waves; i++)
        json_array_append_new(waves, wave_json(x, i));
    for (size_t i = 0; i < x->p->n_candidates; i++)
        json_array_append_new(candidates, candidate_json(x, &x->p->candidates[i]));
    if (x->p->outcome == BALANCE_ISOLATE)
        isolate = registry_name(x, &x->p->candidates[x->p->alone]);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:o}", "region", x->f->region, "advice",
                  outcomes[x->p->outcome], "why", advice(x), "held", held_words(x), "isolate",
                  isolate, "stamps", stamps, "waves", waves, "candidates", candidates);
    if (canary) {
        struct wave_next next = after_canary(x, canary);
        json_object_set_new(o, "canary",
                            json_pack("{s:s, s:s, s:I, s:b, s:s}", "registry",
                                      x->f->canary_registry, "state", canary_states[canary->state],
                                      "follow", (json_int_t)next.n, "waveStopped",
                                      (int)next.stopped, "why", canary_words(x, canary)));
    }
    return o;
}

// ---- tables ----

static void print_stamps(const struct shown *x)
{
    enum { COLS = 7 };
    const char *cells[(1 + BALANCE_STAMPS) * COLS] = {"stamp", "heat", "p95", "mean",
                                                      "max",   "bins", "why"};
    for (size_t i = 0; i < x->f->in.n_stamps; i++) {
        const struct load_verdict *v = &x->p->verdicts[i];
        const struct load_figures *d = &v->days[0];
        const char **row = &cells[(1 + i) * COLS];
        row[0] = stamp_name(x, i);
        row[1] = heats[v->heat];
        row[2] = row[3] = row[4] = "-";
        if (d->known) {
            row[2] = percent(x, d->p95);
            row[3] = percent(x, d->mean);
            row[4] = percent(x, d->max);
        }
        row[5] = arena_printf(&x->c->arena, "%u of %u", d->n_bins, LOAD_WINDOW);
        row[6] = load_cause_text(v->cause);
        if (x->p->watched_until_s[i])
            row[6] = arena_printf(&x->c->arena, "%s%swatched until %s", row[6], *row[6] ? "; " : "",
                                  time_text(x, x->p->watched_until_s[i]));
        if (v->heat == LOAD_UNKNOWN && !*row[6])
            row[6] = "minutes are missing";
    }
    cli_table(cells, 1 + x->f->in.n_stamps, COLS);
}

static void print_waves(const struct shown *x)
{
    enum { COLS = 7 };
    const char *cells[(1 + LOAD_REGISTRIES) * COLS] = {"wave", "begins",    "registry", "share",
                                                       "to",   "p95 there", "watched"};
    size_t n = 1;
    for (size_t w = 0; w < x->p->n_waves; w++)
        for (size_t i = 0; i < x->p->waves[w].n; i++) {
            const struct balance_candidate *k = moved(x, w, i);
            const char **row = &cells[n++ * COLS];
            row[0] =
                arena_printf(&x->c->arena, "%zu %s", w + 1, wave_kind_text(x->p->waves[w].kind));
            row[1] = i ? "after the first" : time_text(x, x->p->begins_s[w]);
            row[2] = registry_name(x, k);
            row[3] = percent(x, k->share);
            row[4] = stamp_name(x, k->to);
            row[5] = percent(x, k->forecast);
            row[6] = watch_words(x, x->p->waves[w].watch_s);
        }
    puts("");
    cli_table(cells, n, COLS);
    puts("\nEach step would be:");
    for (size_t w = 0; w < x->p->n_waves; w++)
        for (size_t i = 0; i < x->p->waves[w].n; i++)
            printf("  %s\n", command_of(x, moved(x, w, i)));
    puts("No release can do these steps yet: two stamps of a region serve over one store only with "
         "a store engine\nof a later release, and until then the command refuses.");
}

static void print_candidates(const struct shown *x)
{
    enum { COLS = 4 };
    const char *cells[(1 + LOAD_REGISTRIES) * COLS] = {"registry", "share", "fate", "why"};
    for (size_t i = 0; i < x->p->n_candidates; i++) {
        const struct balance_candidate *k = &x->p->candidates[i];
        const char **row = &cells[(1 + i) * COLS];
        row[0] = registry_name(x, k);
        row[1] = percent(x, k->share);
        row[2] = fates[k->fate];
        row[3] = fate_words(x, k);
    }
    printf("\nRegistries of %s, the most load first:\n", stamp_name(x, x->p->from));
    cli_table(cells, 1 + x->p->n_candidates, COLS);
}

static int print_plan(const struct shown *x, bool explain)
{
    struct canary_verdict judged;
    const struct canary_verdict *canary = NULL;
    if (*x->f->canary_registry) {
        judged = canary_judge(&x->f->canary);
        canary = &judged;
    }
    if (cli_json(x->c))
        return cli_print_json(x->c, plan_json(x, canary));
    print_stamps(x);
    printf("\n%s\n", advice(x));
    if (x->p->n_waves)
        print_waves(x);
    if (explain && x->p->n_candidates)
        print_candidates(x);
    if (canary)
        printf("\nCanary %s: %s.\n", x->f->canary_registry, canary_words(x, canary));
    return EXIT_DONE;
}

// ---- the command ----

static int read_loads(struct cli *c, const char *path, struct balance_file *out)
{
    AUTO_BUF struct buf text;
    struct diag diag;
    buf_init(&text, BALANCE_FILE_MAX_BYTES);
    int rc = file_read(path, BALANCE_FILE_MAX_BYTES, &text);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s cannot be read: %s", c->path, path, err_text(rc));
    diag_init(&diag);
    rc = balance_file_parse(buf_cstr(&text), text.n, path, out, &diag);
    if (rc)
        diag_print(&diag, stderr);
    diag_done(&diag);
    return rc ? EXIT_FAILED : EXIT_DONE;
}

int stamp_balance(struct cli *c, int argc, char **argv)
{
    const char *region = NULL, *load = NULL;
    bool explain = false;
    const struct opt rows[] = {
        {'l', "region", "REGION", "the region whose loads these are", &region, .also = "location"},
        {0, "load", "FILE", "loads of its stamps, as JSON (docs/operations.md)", &load},
        {0, "explain", NULL, "say of each registry why it moves or stays", .flag = &explain}};
    struct balance_file f;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!region || !load)
        return cli_fail(EXIT_USAGE, "%s needs --region and --load", c->path);
    rc = read_loads(c, load, &f);
    if (rc)
        return rc;
    if (strcmp(f.region, region) != 0) {
        rc = cli_fail(EXIT_FAILED, "%s: %s has the loads of region %s, not of %s", c->path, load,
                      f.region, region);
        balance_file_done(&f);
        return rc;
    }
    AUTO_FREE struct balance_plan *plan = mem_zalloc(sizeof *plan);
    if (plan) {
        balance_decide(&f.in, plan);
        rc = print_plan(&(struct shown){.c = c, .f = &f, .p = plan}, explain);
    } else {
        rc = cli_fail(EXIT_FAILED, "%s: out of memory", c->path);
    }
    balance_file_done(&f);
    return rc;
}
