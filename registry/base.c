// SPDX-License-Identifier: Apache-2.0
// /v2/: is this a registry, and who am I? On HTTP threads.
#include "registry/registry_priv.h"

void base_begin(struct op *op, struct http_plan *plan)
{
    http_response_bytes(&plan->response, 200, "application/json", bytes_str("{}"));
    answer_header(op, &plan->response, "Docker-Distribution-Api-Version", "registry/2.0");
}
