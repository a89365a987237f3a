// SPDX-License-Identifier: Apache-2.0
// A look into an access token that a region gave: for telling people what it holds. Nothing is
// verified, and nothing here may depend on it; the region that is shown the token judges it. Pure.
#ifndef MERIDIAN_CLI_BEARER_H
#define MERIDIAN_CLI_BEARER_H

#include <stdbool.h>

// Does the token grant this action ("pull") on the repository?
bool bearer_grants(const char *token, const char *repository, const char *action);

#endif
