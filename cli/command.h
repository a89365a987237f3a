// SPDX-License-Identifier: Apache-2.0
// The frame of `meridian`: rows of commands and of options, from which come parsing, help,
// completion and the man page.
//
//   static const struct command tag_cmds[] = {
//       {"list", "the tags of a repository", "REGISTRY/REPOSITORY [--region REGION]", tag_list,
//        USES_ENDPOINT, 1, 1,
//        {"meridian tag list contoso/app", "meridian tag list contoso/app -o tsv --query [].name"}},
//   };
//   int cmd_tag(struct cli *c, int argc, char **argv)
//   {
//       return command_group(c, tag_cmds, ARRAY_LEN(tag_cmds), argc, argv);
//   }
//   static int tag_list(struct cli *c, int argc, char **argv)
//   {
//       const char *region = NULL;
//       const struct opt rows[] = {{0, "region", "REGION", "the region to ask", &region}};
//       int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
//       if (rc)
//           return rc;
//       … argv[1] is the word
//
// A command's first act is opt_parse or command_group, and it returns at once when that gives not
// 0: that is how the rows of all commands are collected (cli/declared.h) without doing anything.
// Rows and their texts outlive the process or the arena. Single-threaded.
#ifndef MERIDIAN_CLI_COMMAND_H
#define MERIDIAN_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

// Which of the shared options a command takes, beside --help. It shows and accepts no others.
enum command_uses {
    // --topology
    USES_TOPOLOGY = 1,
    // --admin, --server, --ca, --token-name, --token-file: cli_admin goes where they say
    USES_ADMIN = 2,
    // --topology, --ca, -u, --password-file, --password-stdin
    USES_ENDPOINT = 4,
    // those of USES_ADMIN, and --what-if, --if-version, --no-wait, --timeout, --operator, --key: see
    // cli/request.h
    USES_CHANGE = 8,
    // --yes. Without it opt_parse asks on the terminal, and refuses where there is none. Not asked
    // with --what-if or --dry-run
    TAKES_AWAY = 16,
    // --watch, --interval, --count: opt_parse has the command run again and again, and shows what it prints when that
    // has changed
    MAY_WATCH = 32,
    // it prints no list and no object (a zone file, a script): neither -o nor --query
    NO_FORMAT = 64,
    // --password-file, --password-stdin
    USES_PASSWORD = 128,
    // --ca
    USES_CA = 256
};

#define WORDS_ANY 127

struct command {
    // "status", below a noun; or the noun itself
    const char *name;
    // one line
    const char *summary;
    // words and options after the name; a word in capitals says what completion offers there
    const char *synopsis;
    // argv[0] is the command's name
    int (*run)(struct cli *c, int argc, char **argv);
    // of command_uses
    unsigned uses;
    // how many words it takes after its name; others are refused by opt_parse
    uint8_t min_words, max_words;
    // whole command lines
    const char *examples[2];
};

struct opt_list {
    const char *v[160];
    size_t n;
};

// One row: "-n, --name NAME  help". One of `to`, `flag`, `number` and `list` says where it goes.
struct opt {
    // 0: none
    char letter;
    // without dashes
    const char *name;
    // what the value is called; NULL: a flag
    const char *value;
    const char *help;
    // value options
    const char **to;
    // flags
    bool *flag;
    // numbers, and between which
    int64_t *number, min, max;
    // may be given several times, and several by comma
    struct opt_list *list;
    // "enabled|disabled": only these words, in any case; `to` gets the row's own
    const char *choices;
    // with choices: the value may be left out, and is then the first of them
    bool may_be_bare;
    // an older or longer name of the same, which help does not show
    const char *also;
};

// Parses options anywhere among the words; leaves the words in argv[1..] and their number, with the
// name, in *out_argc. After "--" all is words. Prints help (from the rows) for --help and ends the
// process; says what is wrong, with the nearest known option, and gives EXIT_USAGE. May ask on the
// terminal (TAKES_AWAY), and may return several times, each time in a process of its own
// (MAY_WATCH).
int opt_parse(struct cli *c, const struct opt *rows, size_t n_rows, int argc, char **argv,
              int *out_argc);
// The shared options as the environment gives them; opt_parse begins with it.
void cli_defaults(struct cli *c);
// Runs the command that argv[1] names.
int command_group(struct cli *c, const struct command *cmds, size_t n, int argc, char **argv);
// " (did you mean NEAR?)", or "" for NULL.
const char *cli_did_you_mean(struct cli *c, const char *near);
// Asks "SENTENCE Go on? [y/N]" unless --yes was given. For what
// only some calls of a command take away. EXIT_DONE: go on.
int cli_confirm(struct cli *c, const char *sentence);

// cli/nouns.c; only main knows it, all others have it from struct cli
extern const struct command nouns[];
extern const size_t n_nouns;

#endif
