/*
 * lazyllm: runs the build of the tool that was compiled for this machine's processor, from lib/ beside it. Links are
 * followed, so that one in a folder of the PATH serves.
 */
#define _GNU_SOURCE
#include "cpu_level.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char self[PATH_MAX], tool[PATH_MAX + 64];
    (void)argc;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        fprintf(stderr, "lazyllm: its own file cannot be found: /proc/self/exe: %s.\n", strerror(errno));
        return 1;
    }
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(tool, sizeof tool, "%s/lib/lazyllm-%s", self, lazyllm_cpu_level());
    execv(tool, argv);
    fprintf(stderr, "lazyllm: %s cannot be run: %s. Keep the files of the archive together.\n", tool, strerror(errno));
    return 1;
}
