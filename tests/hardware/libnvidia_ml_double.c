/* A double of NVIDIA's management library for tests: the part of its public interface that is asked here, for three
   cards at work. Built with -DDRIVER=470, 535 or 580: what that branch has not, the library does not export.

   NVML_DOUBLE_CARD      k80 (a board of two devices), gtx1080ti, rtx3090; "none": a driver without a GPU
   NVML_DOUBLE_VERSION   the driver's version, else that of the branch
   NVML_DOUBLE_UNLOADED  set: the kernel module is not loaded
   NVML_DOUBLE_LOST      set: every device is lost
   NVML_DOUBLE_OTHER     the number of a process that computes on the GPU, too
   NVML_DOUBLE_REASONS   the bits that hold the clock down, 0 by default
   NVML_DOUBLE_SECOND    the card of a second slot                                                              */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, UNLOADED = 9, LOST = 15 };
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, POWER_INSTANT = 186, UNSIGNED_INT = 1 };
enum { VOLTA = 70, AMPERE = 80 };

typedef struct {
    const char *key, *name;
    int devices, capability, ecc;
    unsigned long long memory;
    unsigned cores, bus_bits, sm_mhz, memory_mhz, power_mw, celsius;
} Card;

typedef struct { const Card *card; int index; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct {
    unsigned field, scope;
    long long timestamp, latency_us;
    int type, result;
    union { unsigned ui; unsigned long long ull; double d; } value;
} FieldValue;

static const Card CARDS[] = {
    {"k80", "Tesla K80", 2, 37, 1, 11996954624ull, 2496, 384, 875, 2505, 140000, 62},
    {"gtx1080ti", "NVIDIA GeForce GTX 1080 Ti", 1, 61, 0, 11721506816ull, 3584, 352, 1582, 5505, 210000, 71},
    {"rtx3090", "NVIDIA GeForce RTX 3090", 1, 86, 0, 25769803776ull, 10496, 384, 1695, 9751, 330000, 66},
};
static Device devices[8];
static int device_count;

const int deploybench_double = 1;

static void add_card(const char *key) {
    for (size_t i = 0; key != NULL && i < sizeof CARDS / sizeof *CARDS; i++)
        for (int n = 0; strcmp(CARDS[i].key, key) == 0 && n < CARDS[i].devices; n++) {
            devices[device_count] = (Device){&CARDS[i], device_count};
            device_count++;
        }
}

static int state(void) { return getenv("NVML_DOUBLE_LOST") ? LOST : SUCCESS; }

static int tell(unsigned *into, unsigned value) {
    *into = value;
    return state();
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (getenv("NVML_DOUBLE_UNLOADED")) return UNLOADED;
    device_count = 0;
    add_card(getenv("NVML_DOUBLE_CARD"));
    add_card(getenv("NVML_DOUBLE_SECOND"));
    return SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int result) {
    switch (result) {
        case INVALID_ARGUMENT: return "Invalid Argument";
        case NOT_SUPPORTED: return "Not Supported";
        case UNLOADED: return "Driver Not Loaded";
        case LOST: return "GPU is lost";
        default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *into, unsigned size) {
    const char *branch = DRIVER >= 580 ? "580.95.05" : DRIVER >= 535 ? "535.183.01" : "470.256.02";
    const char *given = getenv("NVML_DOUBLE_VERSION");
    snprintf(into, size, "%s", given ? given : branch);
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *into) {
    *into = (unsigned)device_count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **into) {
    if (index >= (unsigned)device_count) return INVALID_ARGUMENT;
    *into = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **into) {
    int index;
    if (sscanf(uuid, "GPU-double-%d", &index) != 1) return INVALID_ARGUMENT;
    return nvmlDeviceGetHandleByIndex_v2((unsigned)index, into);
}

int nvmlDeviceGetIndex(const Device *device, unsigned *into) { return tell(into, (unsigned)device->index); }

int nvmlDeviceGetName(const Device *device, char *into, unsigned size) {
    snprintf(into, size, "%s", device->card->name);
    return state();
}

int nvmlDeviceGetCudaComputeCapability(const Device *device, int *major, int *minor) {
    *major = device->card->capability / 10;
    *minor = device->card->capability % 10;
    return state();
}

int nvmlDeviceGetMemoryInfo(const Device *device, Memory *into) {
    unsigned long long used = 3ull << 30;
    *into = (Memory){device->card->memory, device->card->memory - used, used};
    return state();
}

int nvmlDeviceGetComputeRunningProcesses_v2(const Device *device, unsigned *count, Process *into) {
    const char *other = getenv("NVML_DOUBLE_OTHER");
    unsigned found = other ? 2 : 1, room = *count;
    (void)device;
    *count = found;
    if (state() != SUCCESS) return state();
    if (room < found) return INSUFFICIENT_SIZE;
    into[0] = (Process){(unsigned)getpid(), 2ull << 30, 0, 0};
    if (found > 1) into[1] = (Process){(unsigned)atoi(other), 1ull << 30, 0, 0};
    return SUCCESS;
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(const Device *device, unsigned *count, Process *into) {
    (void)device, (void)into;
    *count = 0;
    return state();
}

int nvmlDeviceGetClockInfo(const Device *device, int kind, unsigned *into) {
    if (kind != CLOCK_SM && kind != CLOCK_MEMORY) return INVALID_ARGUMENT;
    return tell(into, kind == CLOCK_SM ? device->card->sm_mhz : device->card->memory_mhz);
}

int nvmlDeviceGetMaxClockInfo(const Device *device, int kind, unsigned *into) {
    return nvmlDeviceGetClockInfo(device, kind, into);
}

int nvmlDeviceGetTemperature(const Device *device, int sensor, unsigned *into) {
    return sensor == 0 ? tell(into, device->card->celsius) : INVALID_ARGUMENT;
}

/* GA10x and later answer with the average of a second: here always 10 W less than that of the moment. */
int nvmlDeviceGetPowerUsage(const Device *device, unsigned *into) {
    return tell(into, device->card->power_mw - (device->card->capability > AMPERE ? 10000 : 0));
}

int nvmlDeviceGetFieldValues(const Device *device, int count, FieldValue *values) {
    for (int i = 0; i < count; i++) {
        int known = values[i].field == POWER_INSTANT && DRIVER >= 525 && device->card->capability >= AMPERE;
        values[i].type = UNSIGNED_INT;
        values[i].result = known ? SUCCESS : NOT_SUPPORTED;
        values[i].value.ui = device->card->power_mw;
    }
    return state();
}

int nvmlDeviceGetTotalEnergyConsumption(const Device *device, unsigned long long *into) {
    struct timespec now;
    if (device->card->capability < VOLTA) return NOT_SUPPORTED;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *into = (unsigned long long)((double)device->card->power_mw * ((double)now.tv_sec + (double)now.tv_nsec / 1e9));
    return state();
}

int nvmlDeviceGetCurrentClocksThrottleReasons(const Device *device, unsigned long long *into) {
    const char *bits = getenv("NVML_DOUBLE_REASONS");
    (void)device;
    *into = bits ? strtoull(bits, NULL, 0) : 0;
    return state();
}

int nvmlDeviceGetCurrPcieLinkGeneration(const Device *device, unsigned *into) {
    return tell(into, device->card->capability >= AMPERE ? 4 : 3);
}

int nvmlDeviceGetCurrPcieLinkWidth(const Device *device, unsigned *into) {
    (void)device;
    return tell(into, 16);
}

int nvmlDeviceGetEccMode(const Device *device, int *now, int *pending) {
    *now = *pending = device->card->ecc;
    return device->card->ecc ? state() : NOT_SUPPORTED;
}

#if DRIVER >= 510
int nvmlDeviceGetComputeRunningProcesses_v3(const Device *device, unsigned *count, Process *into) {
    return nvmlDeviceGetComputeRunningProcesses_v2(device, count, into);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(const Device *device, unsigned *count, Process *into) {
    return nvmlDeviceGetGraphicsRunningProcesses_v2(device, count, into);
}

int nvmlDeviceGetNumGpuCores(const Device *device, unsigned *into) { return tell(into, device->card->cores); }

int nvmlDeviceGetMemoryBusWidth(const Device *device, unsigned *into) { return tell(into, device->card->bus_bits); }
#endif

#if DRIVER >= 535
int nvmlDeviceGetCurrentClocksEventReasons(const Device *device, unsigned long long *into) {
    return nvmlDeviceGetCurrentClocksThrottleReasons(device, into);
}
#endif
