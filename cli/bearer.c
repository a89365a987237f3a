// SPDX-License-Identifier: Apache-2.0
// A look into an access token; see bearer.h.
#include "cli/bearer.h"

#include "base/digest.h"

#include <jansson.h>
#include <string.h>

bool bearer_grants(const char *token, const char *repository, const char *action)
{
    uint8_t payload[8192];
    size_t n;
    const char *from = strchr(token, '.'), *to = from ? strchr(from + 1, '.') : NULL;
    if (!to || b64url_parse(from + 1, (size_t)(to - from - 1), payload, sizeof payload, &n))
        return false;
    json_t *doc = json_loadb((const char *)payload, n, 0, NULL);
    const json_t *list = json_object_get(doc, "access"), *one, *what;
    bool found = false;
    size_t i, j;
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (!name || strcmp(name, repository) != 0)
            continue;
        json_array_foreach(json_object_get(one, "actions"), j, what) found |=
            json_is_string(what) && !strcmp(json_string_value(what), action);
    }
    json_decref(doc);
    return found;
}
