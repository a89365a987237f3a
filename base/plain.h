// SPDX-License-Identifier: Apache-2.0
// Text of others made fit for terminals and logs: what a terminal would take as an order becomes
// question marks. That are the control characters of ASCII and DEL, those of Unicode (C1, U+0080 to
// U+009F), and bytes that are no UTF-8. The length in bytes stays.
//
//   text_plain(text, strlen(text));
//
// Pure; any thread.
#ifndef MERIDIAN_BASE_PLAIN_H
#define MERIDIAN_BASE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

void text_plain(char *s, size_t n);
// Line ends and tabs stay.
void text_plain_lines(char *s, size_t n);
// Would text_plain change nothing?
bool text_is_plain(const char *s, size_t n);
bool text_is_plain_lines(const char *s, size_t n);

#endif
