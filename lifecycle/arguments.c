// SPDX-License-Identifier: Apache-2.0
// Arguments of requests; see verb.h.
#include "lifecycle/verb.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

static bool is_known(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

int arguments_known(const json_t *arguments, const char *const *names, size_t n, struct diag *diag)
{
    const char *name;
    json_t *value;
    int rc = 0;
    json_object_foreach((json_t *)arguments, name, value)
    {
        if (is_known(name, names, n))
            continue;
        const char *near = diag_nearest(name, names, n);
        refuse(diag, "there is no argument \"%.64s\" here%s%s%s", name, near ? ": \"" : "",
               near ? near : "", near ? "\" is the nearest" : "");
        rc = ERR_INVAL;
    }
    return rc;
}

int argument_text(const json_t *arguments, const char *name, const char **out, struct diag *diag)
{
    const json_t *v = json_object_get(arguments, name);
    if (!v || json_is_null(v)) {
        *out = NULL;
        return 0;
    }
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v)) {
        refuse(diag, "%s: expected a text", name);
        return ERR_INVAL;
    }
    *out = json_string_value(v);
    return 0;
}

static int word_switch(const json_t *v, bool *out)
{
    const char *s = json_string_value(v);
    if (!s)
        return ERR_INVAL;
    if (!strcasecmp(s, "enabled"))
        *out = true;
    else if (!strcasecmp(s, "disabled"))
        *out = false;
    else
        return ERR_INVAL;
    return 0;
}

int argument_switch(const json_t *arguments, const char *name, bool *out_given, bool *out,
                    struct diag *diag)
{
    const json_t *v = json_object_get(arguments, name);
    *out_given = v && !json_is_null(v);
    if (!*out_given)
        return 0;
    if (json_is_boolean(v)) {
        *out = json_is_true(v);
        return 0;
    }
    int rc = word_switch(v, out);
    if (rc)
        refuse(diag, "%s: expected Enabled or Disabled, true or false", name);
    return rc;
}

int argument_number(const json_t *arguments, const char *name, int64_t min, int64_t max,
                    bool *out_given, int64_t *out, struct diag *diag)
{
    const json_t *v = json_object_get(arguments, name);
    *out_given = v && !json_is_null(v);
    if (!*out_given)
        return 0;
    if (json_is_integer(v) && json_integer_value(v) >= min && json_integer_value(v) <= max) {
        *out = json_integer_value(v);
        return 0;
    }
    refuse(diag, "%s: expected a whole number from %lld to %lld", name, (long long)min,
           (long long)max);
    return ERR_INVAL;
}
