// SPDX-License-Identifier: Apache-2.0
// What the findings of a pull mean, and what mends it; see pull.h. A step is judged by its own
// findings alone; whether it was tried at all is the walk's business.
#include "cli/pull.h"

#include "base/err.h"
#include "cli/exit.h"

#include <string.h>

const char *const pull_step_names[N_PULL_STEPS] = {"dns",   "view",     "tls",  "token",
                                                   "scope", "manifest", "blobs"};
const char *const pull_state_names[] = {"NotTried", "OK", "Failed"};

// The step being judged.
struct judging {
    const struct pull_findings *f;
    struct arena *a;
    struct pull_step *step;
};

#define SAY(j, ...) arena_printf((j)->a, __VA_ARGS__)

static void fine(struct judging *j, const char *why)
{
    *j->step = (struct pull_step){.state = PULL_OK, .why = why};
}

static void not_tried(struct judging *j, const char *why)
{
    *j->step = (struct pull_step){.state = PULL_NOT_TRIED, .why = why};
}

static void failed(struct judging *j, int status, const char *code, const char *why,
                   const char *cure)
{
    *j->step = (struct pull_step){PULL_FAILED, code, why, cure, status};
}

static const char *or_words(const char *s, const char *otherwise)
{
    if (s && *s)
        return s;
    return otherwise;
}

// ---- dns ----

static void name_unknown(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *why = SAY(j, "the name %s does not exist", f->host), *cure;
    if (!f->registry_known)
        cure =
            "`meridian registry list` shows the registries, `meridian show-endpoints` their names";
    else if (f->dns.stage)
        cure = SAY(j, "it is coming or going (%s): `meridian operation list` shows how far that is",
                   f->dns.stage);
    else if (f->regional && !f->region_known)
        cure = SAY(j, "there is no region %s: `meridian region list` shows them", f->region);
    else if (f->regional && !f->replica_there)
        cure = SAY(j, "%s has no replica in %s: `meridian replication create %s/%s` makes one",
                   f->registry, f->region, f->registry, f->region);
    else if (f->regional && !f->regional_offered)
        cure = SAY(j,
                   "regional names are off: `meridian registry update %s --regional-endpoints "
                   "enabled`, or use the global name",
                   f->registry);
    else
        cure = SAY(j, "`meridian dns explain %s` on each name server says why", f->host);
    failed(j, EXIT_UNKNOWN, "NAME_UNKNOWN", why, cure);
}

static const char *led_words(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *open = "";
    if (f->dns.fail_open)
        open = ", though no region is healthy";
    if (f->dns.private_endpoint)
        return SAY(j, "leads to private endpoint %s", f->dns.private_endpoint);
    if (f->led)
        return SAY(j, "leads here%s", open);
    if (f->dns.leads_to)
        return SAY(j, "leads to %s%s", f->dns.leads_to, open);
    return "leads to an address of no region";
}

static void judge_dns(struct judging *j)
{
    const struct pull_findings *f = j->f;
    bool other = f->regional && !f->dns.private_endpoint &&
                 (!f->dns.leads_to || strcmp(f->dns.leads_to, f->region) != 0);
    if (f->view.unknown)
        not_tried(j, "there is no such view to ask in");
    else if (!f->dns.answered)
        failed(
            j, EXIT_UNREACHABLE, "DNS_UNREACHABLE",
            or_words(f->dns.why, "nobody answers for the name"),
            "is a name server of the topology running, and does its port 53 let this machine in? "
            "Root at a node, or --server, asks the node itself");
    else if (!strcmp(f->dns.rcode, "NXDOMAIN"))
        name_unknown(j);
    else if (!strcmp(f->dns.rcode, "REFUSED"))
        failed(
            j, EXIT_FAILED, "DNS_REFUSED", "the name server refuses this client",
            "its network is in no view of a private listener, or `dns.access` of the topology does "
            "not admit it: `meridian dns explain` with --client says which");
    else if (strcmp(f->dns.rcode, "NOERROR") != 0)
        failed(j, EXIT_FAILED, "DNS_ERROR", SAY(j, "the answer is %s", f->dns.rcode),
               "look at `meridian status` on the name servers, and into their logs");
    else if (!f->dns.n_addresses)
        failed(j, EXIT_FAILED, "NO_ADDRESS", SAY(j, "%s has no address", f->host),
               "the stamp that it leads to has no address of that family in the topology");
    else if (other)
        failed(
            j, EXIT_FAILED, "LEADS_ELSEWHERE",
            SAY(j, "%s leads to %s, and not to %s", f->host,
                or_words(f->dns.leads_to, "an address of no region"), f->region),
            "a regional name never means another region: look at `meridian topology show`, and at "
            "what stands in front of this client's resolver");
    else
        fine(j, led_words(j));
}

// ---- view ----

static void judge_view(struct judging *j)
{
    const struct pull_findings *f = j->f;
    if (f->view.unknown)
        failed(j, EXIT_UNKNOWN, "VIEW_UNKNOWN",
               SAY(j, "there is no view %s", or_words(f->view.name, "of that name")),
               "the views stand in the topology: `meridian topology export`");
    else if (f->view.refused)
        failed(j, EXIT_FAILED, "VIEW_REFUSED", "the client is in no view of that listener",
               "add its network to the sources of a view, or let it ask another name server");
    else if (f->view.by_source)
        fine(j, "that of this machine");
    else if (f->view.name)
        fine(j, f->view.name);
    else
        not_tried(j, "no node says in which view the client is");
}

// ---- tls ----

static void judge_tls(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *where = or_words(f->region, "the region");
    const char *by = or_words(f->tls.answered_by, "something that does not say which region it is");
    bool other = !f->tls.answered_by || !f->region_known || strcmp(by, f->region) != 0;
    if (!f->tls.tried)
        not_tried(j, "there is no address to try");
    else if (f->tls.err == ERR_CRYPTO)
        failed(j, EXIT_FAILED, "CERTIFICATE",
               SAY(j, "the certificate for %s at %s is not good: %s", f->host, f->tls.address,
                   or_words(f->tls.message, "it was refused")),
               SAY(j,
                   "`meridian certs show` on the node of %s has its names and end, `meridian certs "
                   "renew` renews it; and is --ca (or the system's list) the CA of this fleet?",
                   where));
    else if (f->tls.err)
        failed(j, EXIT_UNREACHABLE, "UNREACHABLE",
               SAY(j, "%s: %s", f->tls.address, or_words(f->tls.message, "no answer")),
               SAY(j, "is meridiand running in %s, and does its firewall let this machine in?",
                   where));
    else if (other)
        failed(j, EXIT_FAILED, "OTHER_REGION",
               SAY(j, "%s answers at %s, and not %s", by, f->tls.address,
                   f->region_known ? f->region : "a region of the topology"),
               "the address in the topology is not that region's, or something in between leads "
               "elsewhere");
    else if (f->tls.until)
        fine(j, SAY(j, "verified at %s, good until %s", f->tls.address, f->tls.until));
    else
        fine(j, SAY(j, "verified at %s", f->tls.address));
}

// ---- token ----

static void judge_challenge(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *words = or_words(f->challenge.words, "no answer");
    if (f->challenge.status == 403)
        failed(j, EXIT_DENIED, "NETWORK", words,
               "the registry's public_access must admit the client's network: `meridian registry "
               "update`");
    else if (f->challenge.status == 421)
        failed(j, EXIT_FAILED, "NOT_HERE", words,
               SAY(j,
                   "%s does not serve this registry: `meridian replication list -r %s` shows who "
                   "does",
                   or_words(f->region, "the region"), f->registry));
    else if (f->challenge.status == 429)
        failed(j, EXIT_FAILED, "TOO_MANY_REQUESTS", words,
               "wait, or raise the limit that the answer names");
    else if (f->challenge.status != 401)
        failed(j, EXIT_FAILED, "NO_CHALLENGE",
               SAY(j, "a request without a token gets %s, and no challenge", words),
               SAY(j, "look at `meridian status` on the node of %s",
                   or_words(f->region, "the region")));
    else
        failed(
            j, EXIT_FAILED, "CHALLENGE",
            SAY(j, "the challenge names another %s than a client of %s may go to",
                f->challenge.realm_good ? "service" : "realm", f->host),
            "something in between has changed the host or the answer: clients are led by the name "
            "that they call");
}

static void judge_login(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *words = or_words(f->token.words, "no token came back");
    bool anonymous = f->login == PULL_LOGIN_ANONYMOUS;
    if (f->token.got && anonymous)
        fine(j, "anonymous");
    else if (f->token.got)
        fine(j, SAY(j, "%s is given one", f->user));
    else if (f->token.status == 401 && anonymous)
        failed(j, EXIT_DENIED, "CREDENTIALS", words,
               "nobody gets a token without logging in here: name a user with --user");
    else if (f->token.status == 401)
        failed(
            j, EXIT_DENIED, "CREDENTIALS", SAY(j, "%s: %s", f->user, words),
            SAY(j,
                "name or password are wrong: `meridian user list` and `meridian token list` show "
                "who there is, `meridian user passwd %s` sets another",
                f->user));
    else if (f->token.status == 429)
        failed(j, EXIT_FAILED, "TOO_MANY_REQUESTS", words,
               "wait, or raise the limit of tokens that the answer names");
    else if (!f->token.status)
        failed(j, EXIT_UNREACHABLE, "UNREACHABLE", words,
               SAY(j, "is meridiand running in %s?", or_words(f->region, "the region")));
    else
        failed(j, EXIT_FAILED, "TOKEN", words,
               SAY(j,
                   "look at `meridian status` on the node of %s: it must have the auth role, "
                   "and principals that are not too old",
                   or_words(f->region, "the region")));
}

static void judge_judged(struct judging *j)
{
    const struct pull_findings *f = j->f;
    if (!f->judged.known)
        failed(j, EXIT_DENIED, "USER_UNKNOWN", SAY(j, "there is no user or token %s", f->user),
               "`meridian user list` and `meridian token list` show who there is");
    else if (!f->judged.enabled)
        failed(j, EXIT_DENIED, "USER_DISABLED", SAY(j, "%s is disabled", f->user),
               SAY(j,
                   "`meridian user update %s --enabled true` (or `token update`) lets it in again",
                   f->user));
    else if (!f->judged.n_passwords)
        failed(j, EXIT_DENIED, "PASSWORD_ENDED", SAY(j, "all passwords of %s have ended", f->user),
               SAY(j, "`meridian token credential generate %s` makes another", f->user));
    else
        fine(j, SAY(j, "%s may log in, as the node judges; its password was not tried", f->user));
}

static void judge_token(struct judging *j)
{
    const struct pull_findings *f = j->f;
    bool challenged =
        f->challenge.status == 401 && f->challenge.realm_good && f->challenge.service_good;
    if (!f->challenge.status)
        not_tried(j, "nobody was reached");
    else if (!challenged)
        judge_challenge(j);
    else if (f->login == PULL_LOGIN_NONE)
        not_tried(j, "neither a password (--password-stdin) nor a node that judges (--admin, "
                     "--server) is at hand");
    else if (f->login == PULL_LOGIN_JUDGED)
        judge_judged(j);
    else
        judge_login(j);
}

// ---- scope ----

static void judge_scope(struct judging *j)
{
    const struct pull_findings *f = j->f;
    if (!f->scope.known)
        not_tried(j, "there is no token to look into");
    else if (f->scope.pull)
        fine(j, SAY(j, "repository:%s:pull", f->repository));
    else if (!f->user)
        failed(j, EXIT_DENIED, "NO_PULL", SAY(j, "%s is not for everybody", f->registry),
               SAY(j,
                   "name a user with --user; `meridian registry update %s --anonymous-pull-enabled "
                   "true` "
                   "would let everybody pull",
                   f->registry));
    else
        failed(j, EXIT_DENIED, "NO_PULL", SAY(j, "%s may not pull %s", f->user, f->repository),
               SAY(j,
                   "`meridian user grant %s --registry %s --repositories %s --actions pull`; of a "
                   "token: its scope map and repositories, `meridian token show %s`",
                   f->user, f->registry, f->repository, f->user));
}

// ---- manifest ----

static const char *image_words(struct judging *j)
{
    const struct pull_findings *f = j->f;
    return SAY(j, "%s/%s%s%s", f->registry, f->repository, strchr(f->reference, ':') ? "@" : ":",
               f->reference);
}

static void manifest_missing(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *why =
                   SAY(j, "%s is not there (%s)", f->reference, or_words(f->manifest.words, "404")),
               *image = image_words(j);
    if (f->manifest.gone)
        failed(j, EXIT_UNKNOWN, "MANIFEST_DELETED", SAY(j, "%s was deleted", f->reference),
               SAY(j,
                   "`meridian tag history %s` shows by whom, `meridian tag restore` brings it back",
                   image));
    else if (f->manifest.no_space)
        failed(j, EXIT_NO_SPACE, "NO_SPACE", why,
               SAY(j,
                   "the disk of %s has no room for it: `meridian status` there says how much it "
                   "takes",
                   f->region));
    else if (f->manifest.clock_ahead)
        failed(j, EXIT_CLOCK_AHEAD, "CLOCK_AHEAD", why,
               "it was written by a region whose clock was ahead, and comes when the clocks agree");
    else if (f->manifest.elsewhere)
        failed(j, EXIT_FAILED, "NOT_REPLICATED",
               SAY(j, "%s; %s has it", why, f->manifest.elsewhere),
               SAY(j,
                   "`meridian replication wait %s --region %s` waits for it, `meridian replication "
                   "status -r %s` says what holds it up",
                   image, f->region, f->registry));
    else
        failed(j, EXIT_UNKNOWN, "MANIFEST_UNKNOWN", why,
               SAY(j,
                   "no region that was asked has it: was it pushed? `meridian tag list %s/%s` "
                   "shows the tags",
                   f->registry, f->repository));
}

static void judge_manifest(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *words = or_words(f->manifest.words, "no answer");
    if (!f->manifest.tried)
        not_tried(j, or_words(f->manifest.why, "there is no token to ask with"));
    else if (f->manifest.status == 200)
        fine(j, or_words(f->manifest.digest, "it is there"));
    else if (f->manifest.status == 404)
        manifest_missing(j);
    else if (f->manifest.status == 401)
        failed(
            j, EXIT_FAILED, "TOKEN_REFUSED", SAY(j, "the token is refused: %s", words),
            "`meridian config check --in-force` on both nodes: does the topology name the key that "
            "it was signed with, and are both clocks right?");
    else if (f->manifest.status == 503)
        failed(j, EXIT_FAILED, "UNAVAILABLE", words,
               SAY(j,
                   "the region waits for content, or for a start to end: `meridian status` on the "
                   "node of %s",
                   or_words(f->region, "the region")));
    else
        failed(j, f->manifest.status ? EXIT_FAILED : EXIT_UNREACHABLE, "MANIFEST", words,
               SAY(j, "look at `meridian status` on the node of %s, and for the request in its log",
                   or_words(f->region, "the region")));
}

// ---- blobs ----

static void blobs_missing(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *where = or_words(f->region, "the region"), *cure;
    if (f->blobs.elsewhere)
        cure = SAY(j,
                   "%s has it: %s fetches what it finds lost by itself, so ask again in a moment; "
                   "`meridian status` on its node names what it cannot mend",
                   f->blobs.elsewhere, where);
    else
        cure =
            "no region that was asked has it: push the image again, or bring the store back from "
            "a backup";
    if (f->blobs.n_children_missing)
        failed(
            j, EXIT_FAILED, "CHILD_MISSING",
            SAY(j, "%zu of the manifests in the index are not there, the first is %s (%s)",
                f->blobs.n_children_missing, f->blobs.first, or_words(f->blobs.words, "no answer")),
            "of an index that was copied without all of its platforms that is meant; else push it "
            "again");
    else if (f->blobs.n_missing)
        failed(j, EXIT_FAILED, "BLOB_MISSING",
               SAY(j, "%zu of %zu blobs are not there, the first is %s (%s)", f->blobs.n_missing,
                   f->blobs.n, f->blobs.first, or_words(f->blobs.words, "no answer")),
               cure);
    else
        failed(j, EXIT_FAILED, "BLOB_SIZE",
               SAY(j, "%zu of %zu blobs have another size than the manifest says, the first is %s",
                   f->blobs.n_wrong, f->blobs.n, f->blobs.first),
               cure);
}

static const char *blobs_words(struct judging *j)
{
    const struct pull_findings *f = j->f;
    const char *words = SAY(j, "%zu, %llu bytes", f->blobs.n, (unsigned long long)f->blobs.bytes);
    if (!f->blobs.n_left_out)
        return words;
    return SAY(j, "%s; %zu more were not looked at", words, f->blobs.n_left_out);
}

static void judge_blobs(struct judging *j)
{
    const struct pull_findings *f = j->f;
    if (!f->blobs.tried)
        not_tried(j, "there is no manifest to go by");
    else if (f->blobs.n_missing || f->blobs.n_wrong || f->blobs.n_children_missing)
        blobs_missing(j);
    else
        fine(j, blobs_words(j));
}

void pull_judge(const struct pull_findings *f, struct arena *arena,
                struct pull_step out[N_PULL_STEPS])
{
    static void (*const rules[N_PULL_STEPS])(struct judging *) = {
        [PULL_DNS] = judge_dns,     [PULL_VIEW] = judge_view,   [PULL_TLS] = judge_tls,
        [PULL_TOKEN] = judge_token, [PULL_SCOPE] = judge_scope, [PULL_MANIFEST] = judge_manifest,
        [PULL_BLOBS] = judge_blobs};
    for (size_t i = 0; i < N_PULL_STEPS; i++) {
        struct judging j = {f, arena, &out[i]};
        rules[i](&j);
    }
}

const struct pull_step *pull_first_failure(const struct pull_step *steps)
{
    for (size_t i = 0; i < N_PULL_STEPS; i++)
        if (steps[i].state == PULL_FAILED)
            return &steps[i];
    return NULL;
}

bool pull_all_ok(const struct pull_step *steps)
{
    for (size_t i = 0; i < N_PULL_STEPS; i++)
        if (steps[i].state != PULL_OK)
            return false;
    return true;
}
