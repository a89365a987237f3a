// SPDX-License-Identifier: Apache-2.0
// `meridian topology compile`: the form that nodes start from quickly.
#include "cli/topology.h"

#include "base/err.h"
#include "base/fd.h"
#include "control/compiled.h"

#include <sys/stat.h>

int topology_compile(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 3)
        return cli_fail(EXIT_USAGE, "topology compile: give the topology and the file to write");
    struct topology_loaded l = {0};
    AUTO_BUF struct buf out;
    struct stat st;
    buf_init(&out, 0);
    rc = topology_load(argv[1], &l);
    if (rc) { // a change that cannot be taken would be lost without a word
        snapshot_unref(l.t);
        return rc;
    }
    rc = compiled_format(l.t, &out);
    if (rc == ERR_UNSUPPORTED)
        rc = cli_fail(
            EXIT_FAILED,
            "%s: registries and private_endpoints must begin lines of their own, so that they can "
            "be told from the rest; write the document in block style",
            argv[1]);
    else if (!rc)
        rc =
            file_write_atomic(argv[2], out.p, out.n, stat(argv[1], &st) ? 0640 : st.st_mode & 0666);
    if (rc < 0)
        rc = cli_fail(EXIT_FAILED, "%s: %s", argv[2], err_text(rc));
    if (!rc && cli_json(c))
        rc =
            cli_print_json(c, json_pack("{s:s, s:I, s:I, s:I}", "file", argv[2], "version",
                                        (json_int_t)l.t->version, "registries",
                                        (json_int_t)l.t->n_registries, "bytes", (json_int_t)out.n));
    else if (!rc)
        printf("%s: version %llu, %zu registries, %zu bytes\n", argv[2],
               (unsigned long long)l.t->version, l.t->n_registries, out.n);
    snapshot_unref(l.t);
    return rc;
}
