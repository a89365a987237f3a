// SPDX-License-Identifier: Apache-2.0
// `meridian topology`: its commands, and the file with its changes that most of them begin with.
#include "cli/topology.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/topology_fleet.h"
#include "control/changes_file.h"
#include "control/compiled.h"
#include "control/topology_file.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

int topology_load(const char *path, struct topology_loaded *out)
{
    struct diag d;
    char magic[8] = "";
    diag_init(&d);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    out->compiled =
        fd >= 0 && read(fd, magic, sizeof magic) == (ssize_t)sizeof magic && compiled_is(magic, 8);
    int rc = topology_file_load(path, &d, &out->t);
    if (!rc)
        rc = changes_load(path, &d, &out->t, &out->n_changes);
    diag_print(&d, stderr);
    size_t n = diag_count(&d);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "the topology %s cannot be used: %s", path, err_text(rc));
    if (n)
        return cli_fail(EXIT_FAILED, "not all changes of %s.changes can be taken", path);
    assert(out->t);
    return EXIT_DONE;
}

static const struct command topology_cmds[] = {
    {"check",
     "is it good, with the changes beside it",
     "[FILE] [--after FILE] [--undo]",
     topology_check,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian topology check topology.yaml",
      "meridian topology check new.yaml --after topology.yaml"}},
    {"show",
     "what it holds, in numbers",
     "[FILE]",
     topology_show,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian topology show", "meridian topology show topology.yaml -o json"}},
    {"compile",
     "write the form that nodes start from quickly",
     "FILE OUT",
     topology_compile,
     USES_TOPOLOGY,
     2,
     2,
     {"meridian topology compile topology.yaml topology.compiled",
      "meridian topology compile topology.yaml /etc/meridian/topology.compiled -o json"}},
    {"diff",
     "which registries differ; status 1 if any do",
     "OLD NEW",
     topology_diff,
     USES_TOPOLOGY,
     2,
     2,
     {"meridian topology diff old.yaml new.yaml",
      "meridian topology diff old.yaml new.yaml -o json"}},
    {"change",
     "append a change of registries to the stream that nodes follow",
     "FILE|-",
     topology_change,
     USES_TOPOLOGY,
     1,
     1,
     {"meridian topology change change.yaml",
      "meridian topology change - --topology /etc/meridian/topology.yaml"}},
    {"pin",
     "keep the serial of fe.D until its content changes",
     "[--renew] [FILE]",
     topology_pin,
     USES_CHANGE | USES_TOPOLOGY,
     0,
     1,
     {"meridian topology pin", "meridian topology pin --renew topology.yaml"}},
};

int cmd_topology(struct cli *c, int argc, char **argv)
{
    const struct command all[] = {topology_export_cmd, topology_history_cmd, topology_rollback_cmd,
                                  topology_cmds[0],    topology_cmds[1],     topology_cmds[2],
                                  topology_cmds[3],    topology_cmds[4],     topology_cmds[5]};
    return command_group(c, all, ARRAY_LEN(all), argc, argv);
}
