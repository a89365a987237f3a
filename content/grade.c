// SPDX-License-Identifier: Apache-2.0
// Grades of errors; see grade.h.
#include "content/grade.h"

#include "base/err.h"

enum grade grade_of(int rc)
{
    switch (rc) {
    case 0:
        return GRADE_NONE;
    case ERR_NOTFOUND:
        return GRADE_ABSENT;
    case ERR_DIGEST:
        return GRADE_WRONG_BYTES;
    case ERR_NOSPACE:
        return GRADE_NO_SPACE;
    case ERR_PROTO:
    case ERR_TOOBIG:
    case ERR_CRYPTO:
        return GRADE_ODD;
    case ERR_NOMEM:
    case ERR_CORRUPT:
    case ERR_READONLY:
    case ERR_NOFILES:
        return GRADE_OWN;
    default:
        return GRADE_UNREACHED;
    }
}
