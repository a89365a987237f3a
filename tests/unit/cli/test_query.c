// SPDX-License-Identifier: Apache-2.0
// --query: what the language takes, what it gives, and what it says of what it does not take.
#include "cli/query.h"

#include "base/mem.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char document[] =
    "{\"name\":\"contoso\",\"n\":3,\"on\":true,\"none\":null,\"odd name\":1,"
    "\"replicas\":[{\"region\":\"eastus\",\"lag\":0,\"tags\":[\"a\",\"b\"]},"
    "{\"region\":\"westus\",\"lag\":7,\"tags\":[\"c\"]},{\"region\":\"norway\",\"lag\":12}],"
    "\"nested\":[[1,2],[3],[]],\"map\":{\"x\":{\"v\":1},\"y\":{\"v\":2}}}";

static const struct {
    const char *query, *result;
} good[] = {
    {"name", "\"contoso\""},
    {"@.n", "3"},
    {"missing", "null"},
    {"name.deeper", "null"},
    {"\"odd name\"", "1"},
    {"replicas[0].region", "\"eastus\""},
    {"replicas[-1].region", "\"norway\""},
    {"replicas[9]", "null"},
    {"replicas[-9]", "null"},
    {"name[0]", "null"},
    {"replicas[*].region", "[\"eastus\",\"westus\",\"norway\"]"},
    {"replicas[].region", "[\"eastus\",\"westus\",\"norway\"]"},
    {"replicas[].tags", "[[\"a\",\"b\"],[\"c\"]]"},
    {"replicas[].tags[]", "[\"a\",\"b\",\"c\"]"},
    {"replicas[*].tags[0]", "[\"a\",\"c\"]"},
    {"replicas[*].tags | [0]", "[\"a\",\"b\"]"},
    {"replicas[1:].region", "[\"westus\",\"norway\"]"},
    {"replicas[:-1].region", "[\"eastus\",\"westus\"]"},
    {"replicas[:].lag", "[0,7,12]"},
    {"replicas[?lag>`5`].region", "[\"westus\",\"norway\"]"},
    {"replicas[?region=='westus'].lag", "[7]"},
    {"replicas[?region=='westus'].lag | [0]", "7"},
    {"replicas[?lag>=`7` && region!='norway'].region", "[\"westus\"]"},
    {"replicas[?lag<`1` || !(lag<=`7`)].region", "[\"eastus\",\"norway\"]"},
    {"replicas[?tags].region", "[\"eastus\",\"westus\"]"},
    {"replicas[?contains(tags, 'c')].region", "[\"westus\"]"},
    {"replicas[?starts_with(region, 'nor')].lag", "[12]"},
    {"replicas[?ends_with(region, 'us')].lag", "[0,7]"},
    {"replicas[].[region, lag]", "[[\"eastus\",0],[\"westus\",7],[\"norway\",12]]"},
    {"replicas[0].{Where: region, \"the lag\": lag}", "{\"Where\":\"eastus\",\"the lag\":0}"},
    {"[name, n]", "[\"contoso\",3]"},
    {"{a: name, b: map.x.v}", "{\"a\":\"contoso\",\"b\":1}"},
    {"nested[]", "[1,2,3]"},
    {"nested[][]", "[1,2,3]"},
    {"map.*.v", "[1,2]"},
    {"*.v", "[]"},
    {"length(replicas)", "3"},
    {"length(name)", "7"},
    {"keys(map)", "[\"x\",\"y\"]"},
    {"missing || name", "\"contoso\""},
    {"none && name", "null"},
    {"on == `true`", "true"},
    {"n == `3.0`", "true"},
    {"name < `1`", "null"},
    {" replicas [ 0 ] . region ", "\"eastus\""},
    {"'it\\'s'", "\"it's\""},
    {"`{\"a\":1}`.a", "1"},
};

START_TEST(test_good)
{
    struct arena a;
    char why[QUERY_WHY_SIZE];
    arena_init(&a, 0);
    json_t *doc = json_loads(document, 0, NULL);
    const struct query *q = query_parse(&a, good[_i].query, why);
    ck_assert_msg(q != NULL, "%s: %s", good[_i].query, why);
    json_t *v = query_run(q, doc);
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_PRESERVE_ORDER);
    ck_assert_msg(!strcmp(text, good[_i].result), "%s: %s, not %s", good[_i].query, text,
                  good[_i].result);
    free(text);
    json_decref(v);
    json_decref(doc);
    arena_done(&a);
}
END_TEST

static const struct {
    const char *query, *why;
} bad[] = {
    {"", "a name is wanted, at character 1"},
    {"a.", "a name is wanted, at character 3"},
    {"a[", "an index, *, or a filter is wanted"},
    {"a[0", "] is wanted"},
    {"a b", "something is left over, at character 3"},
    {"a[99999999999]", "an index is too long"},
    {"a[?b", "] is wanted"},
    {"{a}", ": is wanted"},
    {"{a: b", "} is wanted"},
    {"[a, b", "] is wanted"},
    {"\"a", "a name in quotes does not end"},
    {"'a", "a text in quotes does not end"},
    {"`a`", "a literal is no JSON"},
    {"`1", "a literal does not end"},
    {"(a", ") is wanted"},
    {"sort_by(a, b)", "there is no function sort_by"},
    {"length(a, b)", "length takes 1 argument"},
    {"contains(a)", "contains takes 2 arguments"},
    {"a ==", "a name is wanted"},
    {"a[1:2:3]", "] is wanted"},
    {"\x01", "a name is wanted"},
};

START_TEST(test_bad)
{
    struct arena a;
    char why[QUERY_WHY_SIZE];
    arena_init(&a, 0);
    ck_assert_ptr_null(query_parse(&a, bad[_i].query, why));
    ck_assert_msg(strstr(why, bad[_i].why) != NULL, "%s: %s", bad[_i].query, why);
    arena_done(&a);
}
END_TEST

START_TEST(test_bounds)
{
    struct arena a;
    char why[QUERY_WHY_SIZE], deep[1024];
    arena_init(&a, 0);
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = 0;
    ck_assert_ptr_null(query_parse(&a, deep, why));
    ck_assert_ptr_nonnull(strstr(why, "too deep"));
    char *longest = malloc(QUERY_MAX_BYTES + 2);
    memset(longest, 'a', QUERY_MAX_BYTES + 1);
    longest[QUERY_MAX_BYTES + 1] = 0;
    ck_assert_ptr_null(query_parse(&a, longest, why));
    ck_assert_ptr_nonnull(strstr(why, "too long"));
    longest[QUERY_MAX_BYTES] = 0;
    ck_assert_ptr_nonnull(query_parse(&a, longest, why));
    free(longest);
    arena_done(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/query");
    TCase *tc = tcase_create("query");
    tcase_add_loop_test(tc, test_good, 0, ARRAY_LEN(good));
    tcase_add_loop_test(tc, test_bad, 0, ARRAY_LEN(bad));
    tcase_add_test(tc, test_bounds);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
