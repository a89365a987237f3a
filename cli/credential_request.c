// SPDX-License-Identifier: Apache-2.0
// kubelet's question; see credential_request.h.
#include "cli/credential_request.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

static const char *const versions[] = {"credentialprovider.kubelet.k8s.io/v1",
                                       "credentialprovider.kubelet.k8s.io/v1beta1"};

static int host_take(const char *image, char *out, size_t cap)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:";
    size_t n = strspn(image, letters);
    if (!n || image[n] != '/' || n >= cap)
        return ERR_INVAL;
    memcpy(out, image, n);
    out[n] = 0;
    return 0;
}

static int take(const json_t *doc, struct credential_request *out)
{
    const char *kind = json_string_value(json_object_get(doc, "kind"));
    const char *version = json_string_value(json_object_get(doc, "apiVersion"));
    const char *image = json_string_value(json_object_get(doc, "image"));
    if (!kind || !version || !image || strcmp(kind, "CredentialProviderRequest") != 0)
        return ERR_INVAL;
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        if (!strcmp(version, versions[i])) {
            out->api_version = versions[i];
            return host_take(image, out->host, sizeof out->host);
        }
    return ERR_UNSUPPORTED;
}

int credential_request_parse(const char *text, size_t n, struct credential_request *out)
{
    struct credential_request q = {0};
    json_t *doc = json_loadb(text, n, 0, NULL);
    int rc = take(doc, &q);
    json_decref(doc);
    if (!rc)
        *out = q;
    return rc;
}
