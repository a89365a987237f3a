// SPDX-License-Identifier: Apache-2.0
// How bad an error of a fetch is for the person who reads status. Of several errors the one with the
// highest grade is shown.
//
//   if (grade_of(rc) >= grade_of(shown)) shown = rc;
//
// The numbers stand in the job rows of a store (store/meta.h): they keep their meaning. Pure; any
// thread.
#ifndef MERIDIAN_CONTENT_GRADE_H
#define MERIDIAN_CONTENT_GRADE_H

enum grade {
    GRADE_NONE,
    // no source has got it yet
    GRADE_ABSENT,
    // a source does not answer
    GRADE_UNREACHED,
    // a source answers something else than what was asked for
    GRADE_ODD,
    // this region cannot do its part
    GRADE_OWN,
    // this region's disk is full
    GRADE_NO_SPACE,
    // a source's content is not what its digest says
    GRADE_WRONG_BYTES,
};

// Of an error code (base/err.h). GRADE_NONE for 0.
enum grade grade_of(int rc);

#endif
