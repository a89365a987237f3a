// SPDX-License-Identifier: Apache-2.0
// Routes whose answer is the same for all repositories: /v2/, and the referrers API, which is not
// offered. On HTTP threads.
#include "registry/registry_priv.h"

void base_begin(struct op *op, struct http_plan *plan)
{
    http_response_bytes(&plan->response, 200, "application/json", bytes_str("{}"));
    answer_header(op, &plan->response, "Docker-Distribution-Api-Version", "registry/2.0");
}

// As the specification says for registries without it: clients fall back to the tag schema.
void referrers_begin(struct op *op, struct http_plan *plan)
{
    answer_no_path(op, &plan->response, "the referrers API is not offered here");
}
