// SPDX-License-Identifier: Apache-2.0
// Processes of nginx's: started behind a clean slate, watched, and buried with their group. In the
// supervisor's main thread.
#include "net/edge_priv.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// In the child only: a clean slate, then nginx. `life`: a pipe whose other end the parent holds.
static void __attribute__((noreturn))
child_exec(const struct edge *e, int out_fd, const int life[2], int on_orphaned,
           const char *const argv[])
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, on_orphaned);
    close(life[1]);
    char c;
    if (read(life[0], &c, 1) == 0)
        // the parent died before it could bind us to it; its pid says nothing across namespaces
        _exit(126);
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++)
        sigaction(s, &dfl, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
        _exit(126);
    if (null > 2)
        close(null);
    closefrom(3); // nginx would take inherited sockets along into its workers
    umask(0077);
    if (!e->confine.nginx || !e->confine.nginx(e->confine.ctx))
        execve(e->nginx, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)e->environment);
    static const char text[] = "nginx: [emerg] the program cannot be executed\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(127);
}

// out_space NULL: no namespace wanted. The child does nothing but system calls until it is nginx.
// *out_life is kept open as long as the child lives.
pid_t edge_child_start(const struct edge *e, int out_fd, const char *const argv[], bool *out_space,
                       int *out_life)
{
    int life[2];
    if (pipe2(life, O_CLOEXEC | O_NONBLOCK))
        return -1;
    bool space = out_space && geteuid() == 0;
    pid_t pid = -1;
    if (space)
        pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWPID | SIGCHLD), NULL, NULL, NULL,
                             NULL);
    if (pid < 0) { // not root, or a container that forbids it
        space = false;
        pid = fork();
    }
    if (pid == 0) // the first of a namespace is deaf to SIGTERM until nginx listens to it
        child_exec(e, out_fd, life, space ? SIGKILL : SIGTERM, argv);
    if (pid > 0)
        setpgid(pid, pid); // both sides, so that neither runs ahead of the other
    close(life[0]);
    if (pid < 0) {
        close(life[1]);
        return -1;
    }
    *out_life = life[1];
    if (out_space)
        *out_space = space;
    return pid;
}

// Leaves the zombie, so that the number of the group stays its own until the group is killed.
bool edge_child_ended(pid_t pid)
{
    siginfo_t si = {0};
    int rc = waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT);
    if (rc < 0)
        return errno == ECHILD;
    return si.si_pid == pid;
}

bool edge_child_wait(pid_t pid, unsigned for_ms)
{
    for (int64_t until = clock_mono_ms() + for_ms; !edge_child_ended(pid);) {
        if (clock_mono_ms() >= until)
            return false;
        clock_sleep_ms(5);
    }
    return true;
}

int edge_child_bury(pid_t pid) // kills the group, reaps; the wait status
{
    int status = 0;
    kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}
