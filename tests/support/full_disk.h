// SPDX-License-Identifier: Apache-2.0
// A disk that is full from the n-th step on: what a program does to regular files and directories
// meets ENOSPC by countdown, whoever does it: our code and the libraries (SQLite).
//
//   for (long n = 1;; n++) {
//       prepare();
//       full_disk_from(n);                 // or full_disk_at(n): that step alone
//       int rc = act();
//       bool met = full_disk_off() > 0;    // how many steps found no room
//       …the old file is whole, or the new one…
//       if (!met) break;
//   }
//
// Steps are those that may need room: a write to a regular file (in half, then refused: as a disk
// takes what fits), an extension, a name that is made (open with O_CREAT, mkdir, symlink, link,
// rename), fsync and fdatasync (delayed allocation, quotas, network file systems). Reading,
// removing and cutting always work. Standard output and error are left alone. Linking full_disk.c
// into a test program is enough: its definitions stand before the C library's.
#ifndef MERIDIAN_TESTS_FULL_DISK_H
#define MERIDIAN_TESTS_FULL_DISK_H

void full_disk_from(long n); // 1: the next step and all after it
void full_disk_at(long n);   // that one alone, and nothing of it
long full_disk_hits(void);   // so far, of this and of other threads
long full_disk_off(void);    // and no more from now on

#endif
