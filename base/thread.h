// SPDX-License-Identifier: Apache-2.0
// Threads that do work beside the main loop: they take none of its signals, and some let others go
// first.
//
//   if (thread_start(&t, main, arg)) …        // a negative code; then there is no thread
//   thread_step_back();                        // first thing in `main`, when what it makes can
//                                              // wait
#ifndef MERIDIAN_BASE_THREAD_H
#define MERIDIAN_BASE_THREAD_H

#include <pthread.h>

// All signals are blocked in the thread but SIGSYS: a refusal of the sandbox is the thread's own,
// and blocked it would end the process.
int thread_start(pthread_t *t, void *(*main)(void *), void *arg);
// The calling thread alone goes behind the others of its process, as nice(1) would have it: on a
// shared core a worker does not wait for its turn to end. Where that is not allowed all works, less
// smoothly.
void thread_step_back(void);

#endif
