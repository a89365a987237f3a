// SPDX-License-Identifier: Apache-2.0
// `meridian client-config`: what clients of a region are configured with, from the topology. Images
// keep the registry's global name; the client asks the replica of its own region first, then the
// next ones in the operator's order, then the global name itself.
//
// Each kind of client is a row: it makes files, whose paths are those on the client's machine. They
// are printed, or written below --out.
#include "cli/client_config.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

// ---- files ----

struct buf *client_file(struct client_config *k, const char *fmt, ...)
{
    va_list ap;
    if (k->n_files == CLIENT_FILES_MAX)
        return NULL;
    struct client_file *f = &k->files[k->n_files++];
    struct buf path;
    buf_init(&path, 1024);
    va_start(ap, fmt);
    buf_vprintf(&path, fmt, ap);
    va_end(ap);
    f->path = arena_strdup(&k->c->arena, buf_cstr(&path));
    buf_done(&path);
    buf_init(&f->text, CLIENT_FILE_MAX_BYTES);
    return &f->text;
}

struct buf *client_file_shared(struct client_config *k, const char *path)
{
    struct buf *b = client_file(k, "%s", path);
    if (b)
        k->files[k->n_files - 1].shared = true;
    return b;
}

// The authority of the registry's certificates, where each kind of client looks for it.
void client_ca_file(struct client_config *k, const char *dir, const char *host)
{
    if (!k->ca.n)
        return;
    struct buf *b = client_file(k, "%s/%s/ca.crt", dir, host);
    if (b)
        buf_add(b, k->ca.p, k->ca.n);
}

static void files_done(struct client_config *k)
{
    for (size_t i = 0; i < k->n_files; i++)
        buf_done(&k->files[i].text);
    buf_done(&k->ca);
}

// ---- hosts ----

static const char *host_of(struct client_config *k, enum name_kind kind, const char *region)
{
    char text[HOSTNAME_TEXT_SIZE];
    if (hostname_format(kind, k->c->topo->domain, k->registry->label, region, NULL, text))
        return NULL;
    return cli_public_host(k->c, text);
}

static void host_add(struct client_config *k, uint8_t region)
{
    const char *name = k->c->topo->regions[region].name;
    if (k->n_hosts == CLIENT_HOSTS_MAX ||
        !registry_name_is_public(k->registry, NAME_REGIONAL, region))
        return;
    const char *host = host_of(k, NAME_REGIONAL, name);
    if (host)
        k->hosts[k->n_hosts++] = (struct client_host){.host = host, .region = name};
}

// The client's region, then the others in the operator's order.
static int hosts_find(struct client_config *k, const struct region *mine)
{
    const struct topology *t = k->c->topo;
    k->global = host_of(k, NAME_GLOBAL, NULL);
    if (!k->global)
        return cli_fail(EXIT_FAILED, "%s has no name under %s", k->registry->name, t->domain);
    if (!registry_offers(k->registry, NAME_REGIONAL)) {
        cli_complain("%s: regional endpoints are off: clients have the global name, which leads to "
                     "the nearest healthy region",
                     k->registry->name);
        return EXIT_DONE;
    }
    if (!registry_replica(k->registry, mine->index))
        cli_complain("%s has no replica in %s: the operator's order counts", k->registry->name,
                     mine->name);
    host_add(k, (uint8_t)mine->index);
    for (size_t i = 0; i < t->n_regions; i++)
        if (t->routing_order[i] != mine->index)
            host_add(k, t->routing_order[i]);
    return EXIT_DONE;
}

// ---- output ----

static int files_print(struct client_config *k)
{
    if (cli_json(k->c)) {
        json_t *list = json_array();
        for (size_t i = 0; i < k->n_files; i++)
            json_array_append_new(list, json_pack("{s:s, s:s}", "path", k->files[i].path, "content",
                                                  buf_cstr(&k->files[i].text)));
        return cli_print_json(k->c, json_pack("{s:o}", "files", list));
    }
    for (size_t i = 0; i < k->n_files; i++)
        printf("%s==> %s <==\n%s", i ? "\n" : "", k->files[i].path, buf_cstr(&k->files[i].text));
    return EXIT_DONE;
}

// Does it hold what would be lost?
static bool is_anothers(const struct client_file *f, const char *path)
{
    AUTO_BUF struct buf b;
    buf_init(&b, CLIENT_FILE_MAX_BYTES);
    int rc = file_read(path, CLIENT_FILE_MAX_BYTES, &b);
    if (rc)
        return rc != ERR_NOTFOUND;
    if (!b.n || !strcmp(buf_cstr(&b), buf_cstr(&f->text)))
        return false;
    return strncmp(buf_cstr(&b), CLIENT_FILE_MARK, sizeof CLIENT_FILE_MARK - 1) != 0;
}

static int file_write(struct client_config *k, const struct client_file *f)
{
    const char *path = arena_printf(&k->c->arena, "%s%s", k->out, f->path);
    if (f->shared && is_anothers(f, path))
        return cli_fail(EXIT_FAILED,
                        "%s: is there, and was not made by this command: leave --out away, and add "
                        "what is printed by hand",
                        path);
    const char *slash = strrchr(path, '/');
    const char *dir = arena_strndup(&k->c->arena, path, (size_t)(slash - path));
    int rc = dir_make(dir, 0755);
    if (!rc)
        rc = file_write_atomic(path, f->text.p ? f->text.p : "", f->text.n, 0644);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be written: %s", path, err_text(rc));
    cli_tell(k->c, json_pack("{s:s}", "path", path), "%s", path);
    return EXIT_DONE;
}

static int files_out(struct client_config *k)
{
    int rc = EXIT_DONE;
    for (size_t i = 0; i < k->n_files; i++)
        if (k->files[i].text.err)
            return cli_fail(EXIT_FAILED, "%s: %s", k->files[i].path,
                            err_text(k->files[i].text.err));
    if (!k->out)
        return files_print(k);
    for (size_t i = 0; i < k->n_files && !rc; i++)
        rc = file_write(k, &k->files[i]);
    return rc;
}

// ---- the command ----

static int ca_read(struct client_config *k)
{
    buf_init(&k->ca, CLIENT_FILE_MAX_BYTES);
    if (!k->c->ca)
        return EXIT_DONE;
    int rc = file_read(k->c->ca, CLIENT_FILE_MAX_BYTES, &k->ca);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be read: %s", k->c->ca, err_text(rc));
    return EXIT_DONE;
}

static int config_make(struct client_config *k, const char *name, const char *region,
                       void (*make)(struct client_config *k), int argc, char **argv)
{
    if (!region)
        return cli_fail(EXIT_USAGE, "client-config %s: give --region, the client's",
                        k->c->row->name);
    k->registry = cli_registry_given(k->c, name, argc, argv);
    if (!k->registry)
        return name || argc > 1 ? EXIT_FAILED : EXIT_USAGE;
    const struct region *mine = cli_region(k->c, region);
    if (!mine)
        return EXIT_FAILED;
    k->region = mine->name;
    int rc = ca_read(k);
    if (!rc)
        rc = hosts_find(k, mine);
    if (rc)
        return rc;
    make(k);
    rc = files_out(k);
    if (!rc && k->needs_login)
        fprintf(stderr,
                "The client logs in at each of these hosts by itself: `meridian login -n %s --all` "
                "writes the entries.\n",
                k->registry->name);
    return rc;
}

static int config_run(struct cli *c, size_t row, int argc, char **argv);

static int run_containerd(struct cli *c, int argc, char **argv)
{
    return config_run(c, 0, argc, argv);
}

static int run_podman(struct cli *c, int argc, char **argv)
{
    return config_run(c, 1, argc, argv);
}

static int run_crio(struct cli *c, int argc, char **argv)
{
    return config_run(c, 2, argc, argv);
}

static int run_docker(struct cli *c, int argc, char **argv)
{
    return config_run(c, 3, argc, argv);
}

static int run_kubelet(struct cli *c, int argc, char **argv)
{
    return config_run(c, 4, argc, argv);
}

#define SYNOPSIS "-n REGISTRY --region REGION [--out DIR]"
static const struct command kinds[] = {
    {"containerd",
     "hosts.toml of containerd, ctr and nerdctl",
     SYNOPSIS,
     run_containerd,
     USES_TOPOLOGY | USES_CA,
     0,
     1,
     {"meridian client-config containerd -n contoso --region eastus",
      "meridian client-config containerd -n contoso --region eastus --ca ca.pem --out /"}},
    {"podman",
     "a drop-in of registries.conf, for podman, buildah, skopeo",
     SYNOPSIS,
     run_podman,
     USES_TOPOLOGY | USES_CA,
     0,
     1,
     {"meridian client-config podman -n contoso --region eastus",
      "meridian client-config podman -n contoso --region eastus --ca ca.pem --out /"}},
    {"cri-o",
     "the same drop-in for CRI-O",
     SYNOPSIS,
     run_crio,
     USES_TOPOLOGY | USES_CA,
     0,
     1,
     {"meridian client-config cri-o -n contoso --region eastus",
      "meridian client-config cri-o -n contoso --region eastus --ca ca.pem --out /"}},
    {"docker",
     "daemon.json and certificates of docker",
     SYNOPSIS,
     run_docker,
     USES_TOPOLOGY | USES_CA,
     0,
     1,
     {"meridian client-config docker -n contoso --region eastus",
      "meridian client-config docker -n contoso --region eastus --ca ca.pem --out /"}},
    {"kubelet",
     "kubelet's settings for a credential provider, which is meridian",
     SYNOPSIS,
     run_kubelet,
     USES_TOPOLOGY | USES_CA,
     0,
     1,
     {"meridian client-config kubelet -n contoso --region eastus",
      "meridian client-config kubelet -n contoso --region eastus --ca ca.pem --out /"}},
    {"credentials",
     "what kubelet runs, as those settings say",
     "--hosts LIST --username NAME --password-file FILE",
     client_credentials,
     USES_ENDPOINT,
     0,
     0,
     {"meridian client-config credentials --hosts contoso.example.io -u nodes --password-file pw",
      "meridian client-config credentials --hosts contoso.example.io,contoso.eastus.geo.example.io "
      "-u nodes --password-file pw"}},
};
static void (*const makers[])(struct client_config *k) = {
    client_config_containerd, client_config_podman, client_config_podman, client_config_docker,
    client_config_kubelet};

// May it stand between double quotes in YAML, as it is?
static bool word_ok(const char *s)
{
    size_t n = strcspn(s, "\"\\\t\n\r ");
    return n && !s[n];
}

static int config_run(struct cli *c, size_t row, int argc, char **argv)
{
    const char *name = NULL, *region = NULL;
    struct client_config k = {
        .c = c, .user = "nodes", .password_file = "/etc/meridian/node-password"};
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name, NULL},
        {0, "region", "REGION", "where the clients are", &region, NULL},
        {0, "out", "DIR", "write the files below it (/: where they belong)", &k.out, NULL},
        {0, "node-user", "NAME", "who nodes log in as (default nodes)", &k.user, NULL},
        {0, "node-password-file", "FILE",
         "where nodes have the password (default /etc/meridian/node-password)", &k.password_file,
         NULL}};
    size_t n = ARRAY_LEN(rows);
    if (makers[row] != client_config_kubelet)
        n -= 2;
    int rc = opt_parse(c, rows, n, argc, argv, &argc);
    if (rc)
        return rc;
    if (!word_ok(k.user) || !word_ok(k.password_file))
        return cli_fail(EXIT_USAGE,
                        "client-config: names and paths have no blanks and quotes here");
    rc = config_make(&k, name, region, makers[row], argc, argv);
    files_done(&k);
    return rc;
}

int cmd_client_config(struct cli *c, int argc, char **argv)
{
    return command_group(c, kinds, ARRAY_LEN(kinds), argc, argv);
}
