// SPDX-License-Identifier: Apache-2.0
// What `meridian client-config` gives to those who make a client's files, and what they add. A maker
// calls client_file for each file and writes its text; what does not fit is latched in the text and
// told by the command. Single-threaded.
#ifndef MERIDIAN_CLI_CLIENT_CONFIG_H
#define MERIDIAN_CLI_CLIENT_CONFIG_H

#include "cli/cli.h"

#define CLIENT_HOSTS_MAX 64
#define CLIENT_FILES_MAX (2 * CLIENT_HOSTS_MAX)
#define CLIENT_FILE_MAX_BYTES (256u << 10)
// how long kubelet keeps what the provider has told
#define CLIENT_CREDENTIALS_FOR "10m0s"

struct client_host {
    // as clients name it, with the port unless that is 443
    const char *host, *region;
};

struct client_file {
    // on the client's machine
    const char *path;
    struct buf text;
    // Settings of others stand there too: it is not replaced unless this command made it.
    bool shared;
};
#define CLIENT_FILE_MARK "# Made by `meridian client-config`"

struct client_config {
    struct cli *c;
    const struct registry *registry;
    // the clients'
    const char *region;
    // what images are called by
    const char *global;
    // the client's region first; none when regional endpoints are off
    struct client_host hosts[CLIENT_HOSTS_MAX];
    size_t n_hosts;
    // the client keeps a login for each host: its user is told how to get them
    bool needs_login;
    // what verifies the names, empty: the system's authorities do
    struct buf ca;
    // kubelet: who it logs in as, and the file with the password
    const char *user, *password_file;
    // --out, or NULL
    const char *out;
    struct client_file files[CLIENT_FILES_MAX];
    size_t n_files;
};

// A new file; its path as printf(3) makes it. NULL when there are too many.
struct buf *client_file(struct client_config *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
// The same, of a file in which others may have settings.
struct buf *client_file_shared(struct client_config *k, const char *path);
// DIR/HOST/ca.crt, if the registry's authority is not one of the system's.
void client_ca_file(struct client_config *k, const char *dir, const char *host);

// client_files.c: what each kind of client reads
void client_config_containerd(struct client_config *k); // containerd docs/hosts.md
void client_config_podman(struct client_config *k);     // containers-registries.conf(5)
void client_config_docker(struct client_config *k);     // dockerd(8)
void client_config_kubelet(struct client_config *k);    // kubelet.config.k8s.io/v1

// client_credentials.c: kubelet's credential provider
int client_credentials(struct cli *c, int argc, char **argv);

#endif
