#include "worker/jobs/agent_log.h"

bool agent_log_holds(const json_t *log, const json_t *lines)
{
    size_t n = json_array_size(lines), total = json_array_size(log);

    for (size_t start = 0; start + n <= total; start++) {
        size_t i = 0;
        while (i < n && json_equal(json_array_get(log, start + i), json_array_get(lines, i)))
            i++;
        if (i == n)
            return true;
    }
    return false;
}
