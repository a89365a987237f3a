// SPDX-License-Identifier: Apache-2.0
// The table of exit statuses; see exit.h.
#include "cli/exit.h"

#include "base/mem.h"

const struct exit_row exit_rows[] = {
    {EXIT_DONE, "done", "Done, or there was nothing to do."},
    {EXIT_FAILED, "failed", "Failed, or refused for a reason that is given."},
    {EXIT_USAGE, "usage", "Wrong usage: nothing was asked of anybody."},
    {EXIT_NOT_YET, "not yet",
     "Not there yet: the time given has run out, or what was asked for must wait."},
    {EXIT_UNREACHABLE, "unreachable",
     "A region, or the node, cannot be reached; of replication status: or one region cannot reach "
     "another."},
    {EXIT_DENIED, "not permitted",
     "Not permitted: the user is unknown, its password is wrong, or it may not do that."},
    {EXIT_CLOCK_AHEAD, "ahead of the clock",
     "Not there for as long as its stamp is too far ahead of the clock."},
    {EXIT_UNKNOWN, "unknown", "What was asked for is not there, in any region that was asked."},
    {EXIT_NO_SPACE, "no space", "A region has no space for what it should copy."},
    {EXIT_DIVERGED, "diverged",
     "A region has diverged: it shows something else than another one; or their logs are in "
     "conflict: "
     "an origin's entries are not those that a region has read of it."},
    {EXIT_CHANGES, "would change", "A dry run or what-if: carried out, it would change something."},
    {EXIT_CONFLICT, "conflict",
     "Something else is so than was expected: another version is in force, another operation runs "
     "on the object, or the name is reserved or taken."},
};
const size_t n_exit_rows = ARRAY_LEN(exit_rows);
