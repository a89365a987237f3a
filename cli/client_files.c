// SPDX-License-Identifier: Apache-2.0
// The files of each kind of client; see client_config.h. Names are hostnames and region names of the
// topology, so that nothing needs quoting in TOML, YAML or JSON.
#include "cli/client_config.h"

#include <string.h>

#define HEAD CLIENT_FILE_MARK " for clients in %s.\n"

// ---- containerd ----

#define CONTAINERD "/etc/containerd/certs.d"

// Beside hosts.toml: containerd takes the path from there.
static void containerd_ca(struct client_config *k, struct buf *b, const char *indent)
{
    if (k->ca.n)
        buf_printf(b, "%sca = \"ca.crt\"\n", indent);
}

// "If all host(s) are tried then server will be used as a fallback." (containerd, docs/hosts.md)
static void containerd_hosts(struct client_config *k, struct buf *b)
{
    buf_printf(b, HEAD, k->region);
    buf_printf(b,
               "# Pulls of %s go to the hosts below in their order, then to the server; pushes to\n"
               "# the server alone.\n"
               "server = \"https://%s\"\n",
               k->global, k->global);
    containerd_ca(k, b, "");
    for (size_t i = 0; i < k->n_hosts; i++) {
        buf_printf(b, "\n# %s\n[host.\"https://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
                   k->hosts[i].region, k->hosts[i].host);
        containerd_ca(k, b, "  ");
    }
}

void client_config_containerd(struct client_config *k)
{
    struct buf *b = client_file(k, "%s/%s/hosts.toml", CONTAINERD, k->global);
    if (!b)
        return;
    containerd_hosts(k, b);
    client_ca_file(k, CONTAINERD, k->global);
}

// ---- podman and CRI-O ----

#define CONTAINERS_CERTS "/etc/containers/certs.d"

void client_config_podman(struct client_config *k)
{
    struct buf *b =
        client_file(k, "/etc/containers/registries.conf.d/50-meridian-%s.conf", k->registry->label);
    if (!b)
        return;
    k->needs_login = true;
    buf_printf(b, HEAD, k->region);
    buf_printf(
        b,
        "# Pulls of %s go to the mirrors in their order, then to the location; pushes to the\n"
        "# location alone. Each host needs a login of its own: `meridian login --all` writes\n"
        "# them.\n"
        "[[registry]]\nprefix = \"%s\"\nlocation = \"%s\"\n",
        k->global, k->global, k->global);
    for (size_t i = 0; i < k->n_hosts; i++)
        buf_printf(b, "\n# %s\n[[registry.mirror]]\nlocation = \"%s\"\n", k->hosts[i].region,
                   k->hosts[i].host);
    client_ca_file(k, CONTAINERS_CERTS, k->global);
    for (size_t i = 0; i < k->n_hosts; i++)
        client_ca_file(k, CONTAINERS_CERTS, k->hosts[i].host);
}

// ---- docker ----

#define DOCKER_CERTS "/etc/docker/certs.d"

// dockerd takes mirrors for Docker Hub alone. A client that asks by the global name is led by DNS to
// the nearest healthy region; what it can be told is to try more often than five times.
void client_config_docker(struct client_config *k)
{
    struct buf *b = client_file_shared(k, "/etc/docker/daemon.json");
    if (!b)
        return;
    k->needs_login = true;
    buf_str(b, "{\n  \"max-download-attempts\": 10\n}\n");
    client_ca_file(k, DOCKER_CERTS, k->global);
    for (size_t i = 0; i < k->n_hosts; i++)
        client_ca_file(k, DOCKER_CERTS, k->hosts[i].host);
}

// ---- kubelet ----

// Images are called by the global name; who names a region's is answered too.
void client_config_kubelet(struct client_config *k)
{
    struct buf *b = client_file_shared(k, "/etc/kubernetes/credential-provider.yaml");
    if (!b)
        return;
    buf_printf(b, HEAD, k->region);
    buf_printf(b,
               "# kubelet: --image-credential-provider-config=this file, and\n"
               "# --image-credential-provider-bin-dir=the folder where meridian is.\n"
               "apiVersion: kubelet.config.k8s.io/v1\n"
               "kind: CredentialProviderConfig\n"
               "providers:\n"
               "  - name: meridian\n"
               "    apiVersion: credentialprovider.kubelet.k8s.io/v1\n"
               "    defaultCacheDuration: " CLIENT_CREDENTIALS_FOR "\n"
               "    matchImages:\n"
               "      - \"%s\"\n",
               k->global);
    for (size_t i = 0; i < k->n_hosts; i++)
        buf_printf(b, "      - \"%s\"\n", k->hosts[i].host);
    buf_printf(
        b,
        "    args: [client-config, credentials, --username, \"%s\", --password-file, \"%s\",\n"
        "           --hosts, \"%s",
        k->user, k->password_file, k->global);
    for (size_t i = 0; i < k->n_hosts; i++)
        buf_printf(b, ",%s", k->hosts[i].host);
    buf_str(b, "\"]\n");
}
