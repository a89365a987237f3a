// SPDX-License-Identifier: Apache-2.0
// For tests only: how many places are taken in all.
#ifndef MERIDIAN_NET_SHARE_TEST_H
#define MERIDIAN_NET_SHARE_TEST_H

#include "net/share.h"

size_t share_taken(struct share *s);

#endif
