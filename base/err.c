// SPDX-License-Identifier: Apache-2.0
// Names and texts of the error table, and the one mapping from errno.
#include "base/err.h"

#include <errno.h>

#undef err_from_errno // of the analyser

const char *err_name(int code)
{
    switch (code) {
    case ERR_OK:
        return "OK";
#define X(name, text) \
    case ERR_##name:  \
        return #name;
        ERR_TABLE(X)
#undef X
    default:
        return "UNKNOWN";
    }
}

const char *err_text(int code)
{
    switch (code) {
    case ERR_OK:
        return "no error";
#define X(name, text) \
    case ERR_##name:  \
        return text;
        ERR_TABLE(X)
#undef X
    default:
        return "unknown error";
    }
}

int err_from_errno(int e)
{
    switch (e) {
    case 0:
        return ERR_OK;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return ERR_NOSPACE;
    case ENOENT:
    case ENOTDIR:
        return ERR_NOTFOUND;
    case EROFS:
        return ERR_READONLY;
    case EMFILE:
    case ENFILE:
        return ERR_NOFILES;
    case EEXIST:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case EINVAL:
        return ERR_INVAL;
    case EFBIG:
        return ERR_TOOBIG;
    case EADDRINUSE:
        return ERR_INUSE;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERR_UNREACHABLE;
    case EPIPE:
    case ECONNRESET:
        return ERR_CLOSED;
    default:
        return ERR_IO;
    }
}
