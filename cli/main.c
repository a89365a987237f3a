// SPDX-License-Identifier: Apache-2.0
// meridian: the command that the words name; see command.h.
#include "cli/cli.h"

#include "base/log.h"
#include "cli/arrange.h"
#include "cli/complete.h"
#include "cli/manual.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int run(struct cli *c, int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], COMPLETE_COMMAND))
        return complete_words(c, argc - 2, argv + 2);
    if (argc == 2 && !strcmp(argv[1], MANUAL_WORD))
        return manual_page_print(c, stdout);
    char **words = arrange_words(c, argc, argv);
    int status = EXIT_USAGE;
    if (words)
        status = command_group(c, nouns, n_nouns, argc, words);
    if (cli_told(c))
        status = EXIT_FAILED;
    return status;
}

int main(int argc, char **argv)
{
    log_setup(LOG_WARN, "meridian");
    umask(0077);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN},
              NULL); // a peer that closes is an error to report, not our end
    char version[] = "version";
    struct cli c = {.output = "table", .path = "", .nouns = nouns, .n_nouns = n_nouns};
    arena_init(&c.arena, 0);
    if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")))
        argv[1] = version;
    int status = run(&c, argc, argv);
    json_decref(c.orders);
    fetcher_free(c.fetcher);
    snapshot_unref(c.topo);
    arena_done(&c.arena);
    if (fflush(stdout) == 0)
        return status;
    return EXIT_FAILED;
}
