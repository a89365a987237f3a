// SPDX-License-Identifier: Apache-2.0
// Memory that a start has touched and that nobody needs any more.
//
//   resident_release();   // started: from here on this process mostly waits
//
// Code and constants of the program and its libraries are mapped from files. To find symbols and to
// read configuration touches most of them, and every process of ours has its own share of that. They
// leave this process's memory, and come back, from the system's cache of files, page by page as they
// are used. Nothing that was ever written is touched. Any thread; errors do not matter.
#ifndef MERIDIAN_BASE_RESIDENT_H
#define MERIDIAN_BASE_RESIDENT_H

void resident_release(void);

#endif
