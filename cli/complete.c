// SPDX-License-Identifier: Apache-2.0
// Candidates for the word at the cursor; see complete.h.
#include "cli/complete.h"

#include "base/diag.h"
#include "base/mem.h"
#include "cli/declared.h"
#include "control/topology_file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MAX_CANDIDATES 1000 // a shell does not want more

struct completing {
    struct cli *c;
    // what is at the cursor
    const char *current;
    // of the words so far; a group, a command, or NULL: none yet
    const struct declared_command *at;
    // words after the command's name
    size_t n_words;
    // one of them names no command: there is nothing to offer
    bool is_lost;
    size_t n_shown;
};

static void offer(struct completing *x, const char *candidate, const char *text)
{
    if (strncmp(candidate, x->current, strlen(x->current)) != 0 || x->n_shown == MAX_CANDIDATES)
        return;
    x->n_shown++;
    if (text && *text)
        printf("%s\t%s\n", candidate, text);
    else
        printf("%s\n", candidate);
}

// Words between '|', as choices and synopses have them.
static void offer_choices(struct completing *x, const char *choices)
{
    while (*choices) {
        size_t n = strcspn(choices, "| ");
        if (n)
            offer(x, arena_strndup(&x->c->arena, choices, n), NULL);
        choices += n + (choices[n] != 0);
    }
}

// Quietly: without a topology there is nothing to offer.
static const struct topology *topology(struct cli *c)
{
    struct diag d;
    if (c->topo)
        return c->topo;
    diag_init(&d);
    if (topology_file_load(c->topology, &d, &c->topo))
        c->topo = NULL;
    diag_done(&d);
    return c->topo;
}

static void offer_regions(struct completing *x)
{
    const struct topology *t = topology(x->c);
    for (size_t i = 0; t && i < t->n_regions; i++)
        offer(x, t->regions[i].name, NULL);
}

static void offer_stamps(struct completing *x)
{
    const struct topology *t = topology(x->c);
    for (size_t i = 0; t && i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_stamps; k++)
            offer(x, t->regions[i].stamps[k].name, t->regions[i].name);
}

static void offer_views(struct completing *x)
{
    const struct topology *t = topology(x->c);
    for (size_t i = 0; t && i < t->n_views; i++)
        offer(x, t->views[i].name, NULL);
}

static void offer_pools(struct completing *x)
{
    const struct topology *t = topology(x->c);
    for (size_t i = 0; t && i < t->n_views; i++)
        for (size_t k = 0; k < t->views[i].n_pools; k++)
            offer(x, t->views[i].pools[k].name, t->views[i].name);
}

static void offer_registries(struct completing *x, const char *end)
{
    const struct topology *t = topology(x->c);
    struct catalogue_iter it = {0};
    for (const struct registry *r; t && (r = topology_next(t, &it));)
        offer(x, arena_printf(&x->c->arena, "%s%s", r->name, end), NULL);
}

// What stands for a value: "REGION", "on|off", "FILE".
static void offer_value(struct completing *x, const char *value)
{
    static const char *const files[] = {"FILE", "SOCKET", "OUT", "OLD", "NEW"};
    if (!strncmp(value, "REGISTRY/", 9))
        offer_registries(x, "/");
    else if (!strncmp(value, "REGISTRY", 8))
        offer_registries(x, "");
    else if (!strncmp(value, "REGION", 6))
        offer_regions(x);
    else if (!strncmp(value, "STAMP", 5))
        offer_stamps(x);
    else if (!strncmp(value, "VIEW", 4))
        offer_views(x);
    else if (!strncmp(value, "POOL", 4))
        offer_pools(x);
    else if (!strncmp(value, "DIR", 3))
        puts(":dirs");
    else if (!isupper((unsigned char)value[0]))
        offer_choices(x, value);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (!strncmp(value, files[i], strlen(files[i])))
            puts(":files");
}

static const struct opt *opt_named(const struct declared_command *d, const char *word)
{
    for (size_t i = 0; d && i < d->n_opts; i++) {
        const struct opt *o = &d->opts[i];
        if (word[1] == '-' &&
            (!strcmp(o->name, word + 2) || (o->also && !strcmp(o->also, word + 2))))
            return o;
        if (word[1] != '-' && word[1] && o->letter == word[1] && !word[2])
            return o;
    }
    return NULL;
}

static void offer_commands(struct completing *x)
{
    const struct declared *all = declared_all(x->c);
    const char *path = x->at ? x->at->path : "";
    size_t len = strlen(path);
    for (size_t i = 0; i < all->n; i++) {
        const char *rest = all->v[i].path;
        if (len && (strncmp(rest, path, len) != 0 || rest[len] != ' '))
            continue;
        if (len)
            rest += len + 1;
        if (!strchr(rest, ' '))
            offer(x, rest, all->v[i].row.summary);
    }
}

static void offer_options(struct completing *x)
{
    for (size_t i = 0; x->at && i < x->at->n_opts; i++)
        offer(x, arena_printf(&x->c->arena, "--%s", x->at->opts[i].name), x->at->opts[i].help);
    if (!x->at || x->at->group)
        offer(x, "--help", "this text");
}

// The synopsis' word at that place; options there, and all in brackets that begins with one, are
// passed over.
static const char *synopsis_word(struct completing *x)
{
    const char *s = x->at->row.synopsis, *last = NULL;
    size_t n = 0;
    while (*s) {
        s += strspn(s, " ");
        size_t len = strcspn(s, " ");
        if (!strncmp(s, "[-", 2) || *s == '-') {
            bool in_brackets = *s == '[';
            while (in_brackets && len && s[len - 1] != ']' && s[len])
                len += 1 + strcspn(s + len + 1, " ");
            // the value of an option that stands without brackets
            if (!in_brackets && s[len] == ' ' && isupper((unsigned char)s[len + 1]))
                len += 1 + strcspn(s + len + 1, " ");
        } else if (len && *s != '|') {
            last = s + (*s == '[');
            // alternatives are one word
            while (s[len] == ' ' && s[len + 1] == '|' && s[len + 2] == ' ')
                len += 3 + strcspn(s + len + 3, " ");
            if (n++ == x->n_words)
                return arena_strndup(&x->c->arena, last, len - (*s == '['));
        }
        s += len;
    }
    if (x->at->row.max_words == WORDS_ANY)
        return last;
    return NULL;
}

static void offer_word(struct completing *x)
{
    if (!x->at || x->at->group) {
        offer_commands(x);
        return;
    }
    if (!strcmp(x->at->row.name, "help")) {
        x->at = NULL;
        offer_commands(x);
        return;
    }
    const char *word = synopsis_word(x);
    if (word)
        offer_value(x, word);
    else if (x->n_words < x->at->row.max_words)
        offer_registries(x, "");
}

// Follows the words before the cursor; gives the option whose value stands there, if one does.
static const struct opt *follow(struct completing *x, int n, char **words)
{
    for (int i = 0; i + 1 < n; i++) {
        if (!strcmp(words[i], "="))
            continue;
        if (words[i][0] == '-' && words[i][1]) {
            const struct opt *o = opt_named(x->at, words[i]);
            if (!o || !o->value || strchr(words[i], '='))
                continue;
            if (i + 1 < n - 1 && !strcmp(words[i + 1], "=")) // bash cuts --option=value
                i++;
            if (i + 1 == n - 1)
                return o;
            i++;
            if (!strcmp(o->name, "topology"))
                x->c->topology = words[i];
            continue;
        }
        const char *path = words[i];
        if (x->at && x->at->group)
            path = arena_printf(&x->c->arena, "%s %s", x->at->path, words[i]);
        const struct declared_command *d = NULL;
        if (!x->at || x->at->group)
            d = declared_find(x->c, path);
        if (d)
            x->at = d;
        else if (!x->at || x->at->group)
            x->is_lost = true;
        else
            x->n_words++;
    }
    return NULL;
}

int complete_words(struct cli *c, int n, char **words)
{
    struct completing x = {.c = c, .current = n ? words[n - 1] : ""};
    cli_defaults(c);
    if (!strcmp(x.current, "=")) // bash: at the end of "--option="
        x.current = "";
    const struct opt *value = follow(&x, n, words);
    if (x.is_lost)
        return EXIT_DONE;
    if (value)
        offer_value(&x, value->choices ? value->choices : value->value);
    else if (x.current[0] == '-')
        offer_options(&x);
    else
        offer_word(&x);
    return EXIT_DONE;
}

// ---- scripts ----

static const char bash_script[] =
    "# meridian: completion for bash. Load it with: source <(meridian completion bash)\n"
    "_meridian() {\n"
    "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" candidate text\n"
    "    [ \"$cur\" = = ] && cur=\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r candidate text; do\n"
    "        case \"$candidate\" in\n"
    "        :files) compopt -o filenames 2>/dev/null\n"
    "                while IFS= read -r text; do COMPREPLY+=(\"$text\"); done "
    "< <(compgen -f -- \"$cur\") ;;\n"
    "        :dirs) compopt -o filenames 2>/dev/null\n"
    "               while IFS= read -r text; do COMPREPLY+=(\"$text\"); done "
    "< <(compgen -d -- \"$cur\") ;;\n"
    "        */) compopt -o nospace 2>/dev/null\n"
    "            COMPREPLY+=(\"$candidate\") ;;\n"
    "        *) COMPREPLY+=(\"$candidate\") ;;\n"
    "        esac\n"
    "    done < <(\"${COMP_WORDS[0]}\" " COMPLETE_COMMAND
    " \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _meridian meridian\n";

static const char zsh_script[] =
    "#compdef meridian\n"
    "# meridian: completion for zsh. Load it with: source <(meridian completion zsh)\n"
    "_meridian() {\n"
    "    local line candidate\n"
    "    local -a described\n"
    "    while IFS= read -r line; do\n"
    "        candidate=\"${line%%$'\\t'*}\"\n"
    "        case \"$candidate\" in\n"
    "        :files) _files ;;\n"
    "        :dirs) _files -/ ;;\n"
    "        *) described+=(\"${candidate//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "        esac\n"
    "    done < <(\"${words[1]}\" " COMPLETE_COMMAND " \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#described} )) && _describe meridian described\n"
    "}\n"
    "compdef _meridian meridian\n";

static const char fish_script[] =
    "# meridian: completion for fish. Save it as ~/.config/fish/completions/meridian.fish\n"
    "function __meridian_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    for line in (meridian " COMPLETE_COMMAND " $words[2..-1] 2>/dev/null)\n"
    "        switch $line\n"
    "            case ':files'\n"
    "                __fish_complete_path (commandline -ct)\n"
    "            case ':dirs'\n"
    "                __fish_complete_directories (commandline -ct)\n"
    "            case '*'\n"
    "                echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c meridian -f -a '(__meridian_complete)'\n";

int cmd_completion(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    const char *script = NULL;
    if (!strcmp(argv[1], "bash"))
        script = bash_script;
    else if (!strcmp(argv[1], "zsh"))
        script = zsh_script;
    else if (!strcmp(argv[1], "fish"))
        script = fish_script;
    if (!script)
        return cli_fail(EXIT_USAGE, "completion: %s is not a shell that it knows: bash, zsh, fish",
                        argv[1]);
    fputs(script, stdout);
    return EXIT_DONE;
}
