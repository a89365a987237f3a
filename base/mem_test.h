// SPDX-License-Identifier: Apache-2.0
// Allocations that fail, for tests alone, in the whole process.
//
//   mem_fault_after(3);                 // the third allocation from now and all after it fail
//   rc = act();
//   bool met = mem_fault_hits() > 0;    // how many were refused since it was set
//   mem_fault_after(0);                 // off
#ifndef MERIDIAN_BASE_MEM_TEST_H
#define MERIDIAN_BASE_MEM_TEST_H

void mem_fault_after(long n); // 1: the next
long mem_fault_hits(void);

#endif
