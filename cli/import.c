// SPDX-License-Identifier: Apache-2.0
// `meridian import`: copies repositories of another registry into ours, with tags in the order of
// their age, all that indexes name, and referrers. It may be stopped at any moment and run again.
// docs/import.md has what it does with sources that misbehave; import_priv.h how it is built.
#include "cli/import_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/import_words.h"
#include "config/repository.h"

#include <stdio.h>
#include <string.h>

#define JOBS_DEFAULT 4
#define ALLOW_MAX 64

struct words { // of the command line
    const char *source_user, *source_password_file, *source_ca, *allow, *region, *proxy;
    int64_t jobs;
    struct import_place from;
    // "REGISTRY", and what stands behind its slash or ""
    const struct registry *registry;
    const char *to;
    struct cidr nets[ALLOW_MAX];
    size_t n_nets;
};

static int allow_parse(struct cli *c, struct words *w)
{
    if (!w->allow)
        return EXIT_DONE;
    char *list = arena_strdup(&c->arena, w->allow), *save = NULL;
    for (char *s = strtok_r(list, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        if (w->n_nets == ALLOW_MAX)
            return cli_fail(EXIT_USAGE, "--allow: more than %d networks", ALLOW_MAX);
        if (cidr_parse(s, &w->nets[w->n_nets++]))
            return cli_fail(EXIT_USAGE, "--allow: %s is not a network like 10.1.2.0/24", s);
    }
    return EXIT_DONE;
}

// REGISTRY[/REPOSITORY or /PREFIX]
static int target_words(struct cli *c, struct words *w, const char *word)
{
    char *text = arena_strdup(&c->arena, word), *slash = strchr(text, '/');
    w->to = "";
    if (slash) {
        *slash = 0;
        w->to = slash + 1;
        if (!repository_name_ok(w->to, strlen(w->to)))
            return cli_fail(EXIT_USAGE, "import: %s: give REGISTRY or REGISTRY/REPOSITORY", word);
    }
    w->registry = cli_registry(c, text);
    if (w->registry)
        return EXIT_DONE;
    return EXIT_FAILED;
}

// The password of the source's user. Heap; NULL after saying why.
static char *source_password(struct cli *c, const struct words *w)
{
    struct cli other = *c;
    other.password_stdin = false;
    other.password_file = w->source_password_file;
    if (w->source_password_file)
        return cli_password(&other);
    cli_complain("import: --source-username goes with --source-password-file");
    return NULL;
}

// ---- repositories ----

static const char *target_name(struct import *im, const struct words *w, const char *from)
{
    if (*w->from.repository) {
        if (*w->to)
            return w->to;
        return from;
    }
    if (*w->to)
        return arena_printf(&im->c->arena, "%s/%s", w->to, from);
    return from;
}

static void one_import(struct import *im, const struct words *w, const char *from)
{
    const char *to = target_name(im, w, from);
    if (repository_name_ok(to, strlen(to))) {
        repository_import(im, from, to);
        return;
    }
    atomic_fetch_add(&im->n.failed, 1);
    import_report_add(import_report_repository(im, from, to), "failed", NULL, NULL, NULL,
                      "the name would be too long");
}

static int all_import(struct import *im, const struct words *w)
{
    char why[IMPORT_WHY_SIZE] = "";
    struct name_list list = {0};
    int rc = list_repositories(im, &list, why);
    size_t n = 0;
    for (size_t i = 0; i < list.n && !rc; i++) {
        if (!globs_match(im->repositories, list.names[i]))
            continue;
        one_import(im, w, list.names[i]);
        n++;
    }
    if (!rc && !n) {
        snprintf(why, sizeof why, "no repository fits");
        rc = ERR_NOTFOUND;
    }
    name_list_done(&list);
    if (!rc)
        return EXIT_DONE;
    const char *text = why;
    if (!*why)
        text = err_text(rc);
    json_object_set_new(im->report, "error", json_string(text));
    cli_complain("%s: %s", im->source_host, text);
    if (rc == ERR_AUTH)
        return EXIT_DENIED;
    return EXIT_FAILED;
}

static int run(struct import *im, const struct words *w)
{
    int rc = EXIT_DONE;
    im->report =
        json_pack("{s:s, s:s, s:s, s:b, s:[]}", "source", w->from.host, "target", w->registry->name,
                  "region", im->target.region->name, "dryRun", im->dry_run, "repositories");
    if (!im->report)
        return cli_fail(EXIT_FAILED, "out of memory");
    if (*w->from.repository)
        one_import(im, w, w->from.repository);
    else
        rc = all_import(im, w);
    int printed = import_report_print(im);
    json_decref(im->report);
    for (unsigned i = 0; i < im->n_jobs; i++)
        free(im->pieces[i]);
    if (rc)
        return rc;
    return printed;
}

static int open_and_run(struct import *im, const struct words *w, const char *password)
{
    const struct source_options o = {
        .host = w->from.host,
        .ca_file = w->source_ca,
        .allow = w->nets,
        .n_allow = w->n_nets,
        .proxy = w->proxy,
        .user = w->source_user,
        .password = password,
    };
    int rc = target_open(im->c, w->registry, w->region, &im->target);
    if (rc)
        return rc;
    im->places = htab_new();
    pthread_mutex_init(&im->places_lock, NULL);
    int opened = ERR_NOMEM;
    if (im->places)
        opened = import_source_open(&o, &im->source);
    if (opened == ERR_INVAL)
        rc = cli_fail(EXIT_USAGE, "--proxy %s is not http://HOST:PORT", w->proxy);
    else if (opened)
        rc = cli_fail(EXIT_FAILED, "the guard cannot be set up: %s", err_text(opened));
    else
        rc = run(im, w);
    import_source_close(im->source);
    htab_free(im->places);
    pthread_mutex_destroy(&im->places_lock);
    target_close(&im->target);
    return rc;
}

int cmd_import(struct cli *c, int argc, char **argv)
{
    struct words w = {.jobs = JOBS_DEFAULT};
    struct import im = {.c = c};
    const struct opt rows[] = {
        {0, "source-username", "NAME", "who to log in as at the source", &w.source_user, NULL},
        {0, "source-password-file", "FILE", "file with that password", &w.source_password_file,
         NULL},
        {0, "source-ca", "FILE", "CA that the source is verified with", &w.source_ca, NULL},
        {0, "allow", "NETWORKS", "private networks that the source may be in (10.1.2.0/24,…)",
         &w.allow, NULL},
        {0, "proxy", "URL", "go to the source through this proxy (http://host:port)", &w.proxy,
         NULL},
        {0, "repositories", "GLOBS", "only these repositories of the source, by comma",
         &im.repositories, NULL},
        {0, "tags", "GLOBS", "only these tags, by comma", &im.tags, NULL},
        {'j', "jobs", "N", "so many blobs and manifests at once (default 4)", .number = &w.jobs,
         .min = 1, .max = IMPORT_JOBS_MAX},
        {0, "region", "REGION", "the region to write to; all regions follow", &w.region, NULL},
        {0, "replace", NULL, "take the source's tags where the target's differ", NULL, &im.replace},
        {0, "dry-run", NULL, "say what would be copied and what differs", NULL, &im.dry_run},
    };
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 3)
        return cli_fail(EXIT_USAGE, "import: give HOST[:PORT][/REPOSITORY] and "
                                    "REGISTRY[/REPOSITORY]");
    if (import_place_parse(argv[1], &w.from))
        return cli_fail(EXIT_USAGE,
                        "import: %s is not HOST[:PORT][/REPOSITORY]; sources speak https", argv[1]);
    im.n_jobs = (unsigned)w.jobs;
    rc = allow_parse(c, &w);
    if (!rc)
        rc = target_words(c, &w, argv[2]);
    if (rc)
        return rc;
    im.source_host = w.from.host;
    AUTO_FREE char *password = NULL;
    if (w.source_user && !(password = source_password(c, &w)))
        return EXIT_FAILED;
    rc = open_and_run(&im, &w, password);
    if (password)
        explicit_bzero(password, strlen(password));
    return rc;
}
