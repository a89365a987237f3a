// SPDX-License-Identifier: Apache-2.0
// The backend of blobs for one machine: content-addressed files. An upload is written beside,
// digested while it streams, fsynced and renamed.
//
//   struct blob_store *bs;
//   blob_files_open("/var/lib/meridian/eastus/store", &bs);   // makes the layout
//   …store/blob.h…
//   blob_store_close(bs);
//
// Layout under the store's directory:
//   blobs/sha256/ab/abcd….0123…   final, 0640, never changed nor replaced: the digest's hex digits
//                             and the generation; without ".0123…" it is from before there were
//                             generations. Directories 02750. The edge sends these files: a serve
//                             decision is a path below blobs/. Those of the other algorithm are in
//                             sha512/
//   uploads/<id>              growing; directory 02700
//   uploads/=<id>             a symbolic link whose text is the digest and the generation under
//                             which the upload was committed, until it is discarded
//   partial/sha256-abcd…      fetches from peers; directory 02700
//   partial/sha256-abcd….map  which chunks of one are there that comes in ranges
//   damaged/sha256-abcd…      files whose bytes do not match their digest, until a whole one is
//                             there; directory 02700
//   hold                      empty; who has a shared lock on it (flock) holds all published files,
//                             see blob_files_hold
// A new file has the group of its directory and keeps it when it is renamed. The daemon gives
// blobs/ to the edge's group before it opens the store; opening hands that group on to the other
// two directories. Where the set-group bit is forbidden, the directories do without it, and each file
// is given the group when it is made.
//
// The digest's state: OpenSSL exports the state of a running hash only by an interface that it
// declares deprecated, so none is stored. An open upload keeps its hash in memory; one that is
// opened again reads its bytes back, with the first write or at the commit. An open upload is
// locked by flock(2), for other processes too.
#ifndef MERIDIAN_STORE_FILES_FILES_H
#define MERIDIAN_STORE_FILES_FILES_H

#include "store/blob.h"

int blob_files_open(const char *dir, struct blob_store **out);

// From its return on no published file of the store in `dir` is removed, by whatever process, until
// *out_fd is closed or this process ends; blob_remove gives ERR_BUSY meanwhile. What is damaged is
// set aside all the same. For a backup, which needs no daemon and opens no store. Waits for a
// removal that is under way. ERR_NOTFOUND: there is no such directory.
int blob_files_hold(const char *dir, int *out_fd);

#endif
