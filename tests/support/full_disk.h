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
//
// The same steps can fail otherwise, or be the last ones: full_disk_fails_at(n, EIO) is a disk that
// loses one request, and full_disk_dies_at(n) a kill -9 in the middle of the n-th step (of a write
// half is done, of all else nothing). Removing a file is a step too for these two.
#ifndef MERIDIAN_TESTS_FULL_DISK_H
#define MERIDIAN_TESTS_FULL_DISK_H

void full_disk_from(long n); // 1: the next step and all after it
void full_disk_at(long n);   // that one alone, and nothing of it
void full_disk_fails_at(long n, int error);
void full_disk_dies_at(long n);
long full_disk_hits(void); // so far, of this and of other threads
long full_disk_off(void);  // and no more from now on

#endif
