// SPDX-License-Identifier: Apache-2.0
// control/request: what an operator signed comes out as it went in; anything else is refused, each
// for its own reason.
#include "control/request.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define NOW 1800000000000
#define FLEET "example.io"
#define NONCE "00112233445566778899aabbccddeeff"

static char dir[64];
static struct signing_key *ada, *eve;

static struct signing_key *key_made(const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    struct signing_key *k = NULL;
    ck_assert_int_eq(signing_key_create(path, NULL), 0);
    ck_assert_int_eq(signing_key_open(path, NULL, &k), 0);
    return k;
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "%s", "request-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ada = key_made("ada");
    eve = key_made("eve");
}

static void teardown(void)
{
    signing_key_free(ada);
    signing_key_free(eve);
    dir_remove_tree(dir);
}

// ada may sign, bob could once
static const char *key_of(const void *ctx, const char *name, bool *out_revoked)
{
    (void)ctx;
    *out_revoked = !strcmp(name, "bob");
    if (!strcmp(name, "ada"))
        return signing_key_spki(ada);
    if (*out_revoked)
        return signing_key_spki(eve);
    return NULL;
}

static const struct control_signers far = {.fleet = FLEET, .key_of = key_of},
                                    at_socket = {.fleet = FLEET, .key_of = key_of, .bare = true};

static struct control_request request(void)
{
    struct control_request q = {.verb = "registry update",
                                .object = "contoso",
                                .fleet = FLEET,
                                .operator= "ada",
                                .expires_ms = NOW + CONTROL_REQUEST_LIFE_MS};
    memcpy(q.nonce, NONCE, sizeof q.nonce);
    return q;
}

static struct buf envelope(const struct control_request *q, const struct signing_key *key,
                           const char *name)
{
    AUTO_BUF struct buf text;
    struct buf out;
    buf_init(&text, 0);
    buf_init(&out, 0);
    ck_assert_int_eq(control_request_format(q, &text), 0);
    ck_assert_int_eq(control_request_sign(key, name, bytes_of(text.p, text.n), &out), 0);
    return out;
}

// The answer's code; the sentence must hold `says`.
static int judged(struct bytes body, const struct control_signers *who, const char *says)
{
    struct control_request *q = NULL;
    struct diag d;
    diag_init(&d);
    int rc = control_request_take(body, who, NOW, &d, &q);
    ck_assert((rc == 0) == (q != NULL));
    if (rc) {
        AUTO_FREE char *text = diag_text(&d);
        ck_assert_uint_eq(diag_count(&d), 1);
        ck_assert_msg(strstr(text, says) != NULL, "%s", text);
    }
    control_request_free(q);
    diag_done(&d);
    return rc;
}

static int sent(const struct control_request *q, const struct signing_key *key, const char *name,
                const char *says)
{
    AUTO_BUF struct buf b = envelope(q, key, name);
    return judged(bytes_of(b.p, b.n), &far, says);
}

START_TEST(a_request_comes_out_as_it_was_signed)
{
    setup();
    struct control_request q = request(), *got = NULL;
    q.arguments = json_pack("{s:s}", "regionalEndpoints", "Enabled");
    q.if_version = 41;
    q.what_if = true;
    q.quorum = true;
    AUTO_BUF struct buf b = envelope(&q, ada, "ada");
    ck_assert_int_eq(control_request_take(bytes_of(b.p, b.n), &far, NOW, NULL, &got), 0);
    ck_assert_str_eq(got->verb, "registry update");
    ck_assert_str_eq(got->object, "contoso");
    ck_assert_str_eq(got->operator, "ada");
    ck_assert_str_eq(got->nonce, NONCE);
    ck_assert(got->quorum);
    ck_assert(got->what_if && got->if_version == 41 && got->expires_ms == q.expires_ms);
    ck_assert(json_equal(got->arguments, q.arguments));
    char by[CONTROL_BY_SIZE];
    ck_assert_str_eq(control_request_by(got, "eastus", by), "operator:ada");
    control_request_free(got);
    json_decref(q.arguments);
    teardown();
}
END_TEST

START_TEST(only_a_named_operator_s_own_key_counts)
{
    setup();
    struct control_request q = request();
    ck_assert_int_eq(sent(&q, ada, "ada", ""), 0);
    ck_assert_int_eq(sent(&q, eve, "ada", "not of the key"), ERR_DENIED);
    ck_assert_int_eq(sent(&q, eve, "eve", "has no operator \"eve\""), ERR_DENIED);
    q.operator= "bob";
    ck_assert_int_eq(sent(&q, eve, "bob", "\"bob\" is revoked"), ERR_DENIED);
    // her key, over a text that names somebody else, or nobody
    ck_assert_int_eq(sent(&q, ada, "ada", "another operator"), ERR_DENIED);
    q.operator= NULL;
    ck_assert_int_eq(sent(&q, ada, "ada", "another operator"), ERR_DENIED);
    teardown();
}
END_TEST

START_TEST(a_request_counts_for_its_fleet_and_its_time)
{
    setup();
    struct control_request q = request();
    q.fleet = "example.org";
    ck_assert_int_eq(sent(&q, ada, "ada", "for the fleet of example.org"), ERR_DENIED);
    q = request();
    q.expires_ms = NOW;
    ck_assert_int_eq(sent(&q, ada, "ada", "has expired"), ERR_EXPIRED);
    q.expires_ms = NOW + 1;
    ck_assert_int_eq(sent(&q, ada, "ada", ""), 0);
    q.expires_ms = NOW + CONTROL_REQUEST_LIFE_MAX_MS;
    ck_assert_int_eq(sent(&q, ada, "ada", ""), 0);
    q.expires_ms++;
    ck_assert_int_eq(sent(&q, ada, "ada", "more than 10 minutes"), ERR_EXPIRED);
    teardown();
}
END_TEST

START_TEST(no_bit_of_it_may_change)
{
    setup();
    struct control_request q = request();
    AUTO_BUF struct buf b = envelope(&q, ada, "ada");
    // each byte of text and signature, changed in its lowest bit; what stays JSON is refused too
    for (size_t i = 0; i < b.n; i++) {
        struct control_request *got = NULL;
        b.p[i] ^= 1;
        ck_assert_int_ne(control_request_take(bytes_of(b.p, b.n), &far, NOW, NULL, &got), 0);
        ck_assert_ptr_null(got);
        b.p[i] ^= 1;
        // cut there
        ck_assert_int_ne(control_request_take(bytes_of(b.p, i), &far, NOW, NULL, &got), 0);
    }
    ck_assert_int_eq(judged(bytes_of(b.p, b.n), &far, ""), 0);
    teardown();
}
END_TEST

START_TEST(a_bare_text_is_root_s_at_the_socket_only)
{
    setup();
    struct control_request q = request(), *got = NULL;
    q.operator= NULL;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(control_request_format(&q, &b), 0);
    ck_assert_int_eq(judged(bytes_of(b.p, b.n), &far, "not signed"), ERR_DENIED);
    ck_assert_int_eq(control_request_take(bytes_of(b.p, b.n), &at_socket, NOW, NULL, &got), 0);
    char by[CONTROL_BY_SIZE];
    ck_assert_str_eq(control_request_by(got, "eastus", by), "root@eastus");
    control_request_free(got);
    buf_clear(&b);
    q.operator= "ada";
    ck_assert_int_eq(control_request_format(&q, &b), 0);
    ck_assert_int_eq(judged(bytes_of(b.p, b.n), &at_socket, "no signature"), ERR_DENIED);
    teardown();
}
END_TEST

#define BARE(extra)                                                                            \
    "{\"v\":1,\"verb\":\"registry delete\",\"object\":\"contoso\",\"arguments\":{},\"nonce\":" \
    "\"" NONCE "\",\"expires\":1800000100000,\"fleet\":\"example.io\"" extra "}"

START_TEST(other_forms_are_refused)
{
    static const struct {
        const char *text, *says;
        int rc;
    } cases[] = {
        {BARE(""), "", 0},
        {BARE(",\"whatIf\":true"), "", 0},
        {BARE(",\"unless\":1"), "no member \"unless\"", ERR_VERSION},
        {BARE(",\"v\":1"), "no JSON object", ERR_INVAL}, // a member twice
        {BARE(",\"ifVersion\":0"), "ifVersion", ERR_INVAL},
        {BARE(",\"ifVersion\":\"41\""), "ifVersion", ERR_INVAL},
        {BARE(",\"whatIf\":1"), "whatIf", ERR_INVAL},
        {BARE(",\"quorum\":true"), "", 0},
        {BARE(",\"quorum\":\"yes\""), "quorum", ERR_INVAL},
        {BARE(",\"operator\":7"), "operator", ERR_INVAL},
        {"", "no JSON object", ERR_INVAL},
        {"[]", "no JSON object", ERR_INVAL},
        {"{}", "no version", ERR_INVAL},
        {"{\"v\":2}", "newer", ERR_VERSION},
        {"{\"v\":1}", "must have verb", ERR_INVAL},
        {"{\"request\":7}", "a text, a key", ERR_INVAL},
        {"{\"request\":\"{}\",\"key\":\"ada\",\"signature\":\"\"}", "no version", ERR_INVAL},
        {"{\"request\":\"{}\",\"key\":\"ada\",\"signature\":\"\",\"more\":1}", "a text, a key",
         ERR_INVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_int_eq(judged(bytes_str(cases[i].text), &at_socket, cases[i].says), cases[i].rc);
}
END_TEST

START_TEST(what_has_no_form_is_not_written)
{
    static const char *const verbs[] = {"",        "Registry", "a  b", " a",  "a ",
                                        "a b c d", "a-",       "-a",   "a/b", "a1"};
    struct control_request q = request();
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        q.verb = verbs[i];
        ck_assert_int_eq(control_request_format(&q, &b), ERR_INVAL);
    }
    q = request();
    q.object = "con toso";
    ck_assert_int_eq(control_request_format(&q, &b), ERR_INVAL);
    q = request();
    q.nonce[0] = 'X';
    ck_assert_int_eq(control_request_format(&q, &b), ERR_INVAL);
    q = request();
    q.operator= "../ada";
    ck_assert_int_eq(control_request_format(&q, &b), ERR_INVAL);
    ck_assert_uint_eq(b.n, 0);
    char nonce[CONTROL_NONCE_SIZE];
    ck_assert_int_eq(control_request_nonce(nonce), 0);
    ck_assert_uint_eq(strspn(nonce, "0123456789abcdef"), 32);
}
END_TEST

CHECK_MAIN("control/request", a_request_comes_out_as_it_was_signed,
           only_a_named_operator_s_own_key_counts, a_request_counts_for_its_fleet_and_its_time,
           no_bit_of_it_may_change, a_bare_text_is_root_s_at_the_socket_only,
           other_forms_are_refused, what_has_no_form_is_not_written)
