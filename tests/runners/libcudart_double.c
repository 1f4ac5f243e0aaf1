/* A stand-in for libcudart in a virtual clock, for tests: it has the symbol deploybench_double, by which whoever loads
   it knows that what it says is simulated.

   The host's clock moves by what the host waits for and by what each launch costs it; a stream works in order, and
   each direction of the bus is one engine. Copies and kernels do their work when they are enqueued or replayed.

   By environment: DOUBLE_MODE no-driver | old-driver | no-device; DOUBLE_DEVICE k80 | gtx1080ti | rtx3090;
   DOUBLE_MEMORY_MIB. Rates and costs are the constants below. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int64_t free_at; struct graph *capture; int broken; } stream;
typedef struct { int64_t at; } event;
typedef struct node { void *to; const void *from; size_t bytes; int64_t ns; int engine; struct node *next; } node;
typedef struct graph { node *first, **last; } graph;
typedef struct { const char *key, *name; int major, minor; size_t mib; } card;

enum { OK = 0, INVALID = 1, MEMORY = 2, OLD_DRIVER = 35, NO_DEVICE = 100, BAD_DEVICE = 101, NOT_READY = 600,
       UNSUPPORTED = 900, INVALIDATED = 901 };
enum { HEADER = 64, COMPUTE = 0, UPLOAD = 1, DOWNLOAD = 2 };
static const double BYTES_PER_NS[] = {0, 12.0, 6.0};  /* PCIe: 12 GB/s to the device, 6 GB/s back */
static const card CARDS[] = {{"k80", "Tesla K80", 3, 7, 11441}, {"gtx1080ti", "NVIDIA GeForce GTX 1080 Ti", 6, 1, 11178},
                             {"rtx3090", "NVIDIA GeForce RTX 3090", 8, 6, 24268}};
static int64_t now, launch_ns = 5000, engine_free_at[3];
static size_t used;
static int live;

const int deploybench_double = 1;
int64_t deploybench_double_now(void) { return now; }
int deploybench_double_live(void) { return live; }  /* what was made and not given back */
void deploybench_double_launch_cost(int64_t ns) { launch_ns = ns; }

static int mode(const char *name) { const char *m = getenv("DOUBLE_MODE"); return m && !strcmp(m, name); }
static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }
static void *made(size_t bytes) { live++; return calloc(1, bytes); }
static int gone(void *p) { live--; free(p); return OK; }
static const card *device(void) {
  const char *key = getenv("DOUBLE_DEVICE");
  for (int i = 0; i < 3; i++) if (key && !strcmp(CARDS[i].key, key)) return &CARDS[i];
  return &CARDS[2];
}
static size_t total(void) {
  const char *mib = getenv("DOUBLE_MEMORY_MIB");
  return (mib ? (size_t)atol(mib) : device()->mib) << 20;
}
static int ready(void) { return mode("no-driver") || mode("old-driver") ? OLD_DRIVER : mode("no-device") ? NO_DEVICE : OK; }

static void run(stream *s, const node *n) {
  int64_t start = later(later(now, s->free_at), engine_free_at[n->engine]);
  s->free_at = engine_free_at[n->engine] = start + n->ns;
  if (n->bytes) memcpy(n->to, n->from, n->bytes);
}
static int enqueue(stream *s, node n) {
  if (s->capture) {
    node *kept = malloc(sizeof n);
    *kept = n, *s->capture->last = kept, s->capture->last = &kept->next;
    return OK;
  }
  now += launch_ns;
  run(s, &n);
  return OK;
}
/* A kernel of ns that copies bytes: the work of a made-up engine. */
int deploybench_double_kernel(stream *s, void *to, const void *from, size_t bytes, int64_t ns) {
  return enqueue(s, (node){to, from, bytes, ns, COMPUTE, NULL});
}

int cudaDriverGetVersion(int *v) { *v = mode("no-driver") ? 0 : mode("old-driver") ? 11040 : 13020; return OK; }
int cudaRuntimeGetVersion(int *v) { *v = 13020; return OK; }
int cudaGetLastError(void) { return OK; }
int cudaGetDeviceCount(int *n) { *n = ready() == OK; return ready(); }
int cudaGetDevice(int *i) { *i = 0; return ready(); }
int cudaSetDevice(int i) { return ready() ? ready() : i ? BAD_DEVICE : OK; }
int cudaDeviceGetAttribute(int *v, int what, int i) {
  *v = what == 75 ? device()->major : device()->minor;
  return i ? BAD_DEVICE : ready();
}
int cudaGetDeviceProperties(char *p, int i) { strcpy(p, device()->name); return i ? BAD_DEVICE : ready(); }
int cudaMemGetInfo(size_t *left, size_t *all) { *all = total(), *left = total() - used; return ready(); }
int cudaMalloc(void **p, size_t n) {
  if (used + n > total()) return MEMORY;
  size_t *block = made(n + HEADER);
  used += *block = n, *p = (char *)block + HEADER;
  return OK;
}
int cudaFree(void *p) {
  if (!p) return ready();
  size_t *block = (size_t *)((char *)p - HEADER);
  used -= *block;
  return gone(block);
}
int cudaHostAlloc(void **p, size_t n, unsigned flags) { *p = made(n); return flags ? INVALID : OK; }
int cudaFreeHost(void *p) { return gone(p); }
int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, stream *s) {
  if (kind != UPLOAD && kind != DOWNLOAD) return INVALID;
  return enqueue(s, (node){to, from, n, (int64_t)(n / BYTES_PER_NS[kind]), kind, NULL});
}
int cudaStreamCreateWithFlags(stream **s, unsigned flags) { *s = made(sizeof **s); return flags == 1 ? OK : INVALID; }
int cudaStreamDestroy(stream *s) { return gone(s); }
int cudaStreamSynchronize(stream *s) {
  if (s->capture) return s->broken = 1, UNSUPPORTED;
  now = later(now, s->free_at);
  return OK;
}
int cudaEventCreateWithFlags(event **e, unsigned flags) { *e = made(sizeof **e); return flags ? INVALID : OK; }
int cudaEventDestroy(event *e) { return gone(e); }
int cudaEventRecord(event *e, stream *s) { e->at = later(now, s->free_at); return OK; }
int cudaEventSynchronize(event *e) { now = later(now, e->at); return OK; }
int cudaEventElapsedTime(float *ms, event *a, event *b) { *ms = (b->at - a->at) / 1e6f; return b->at > now ? NOT_READY : OK; }
int cudaStreamBeginCapture(stream *s, int how) {
  s->capture = made(sizeof *s->capture), s->capture->last = &s->capture->first, s->broken = 0;
  return how == 1 ? OK : INVALID;
}
int cudaGraphDestroy(graph *g) { return gone(g); }
int cudaStreamEndCapture(stream *s, graph **g) {
  *g = s->capture, s->capture = NULL;
  return s->broken ? (cudaGraphDestroy(*g), *g = NULL, INVALIDATED) : OK;
}
int cudaGraphInstantiateWithFlags(graph **exec, graph *g, unsigned long long flags) {
  *exec = made(sizeof **exec), (*exec)->first = g->first;
  return flags ? INVALID : OK;
}
int cudaGraphExecDestroy(graph *g) { return gone(g); }
int cudaGraphLaunch(graph *g, stream *s) {
  now += launch_ns;
  for (const node *n = g->first; n; n = n->next) run(s, n);
  return OK;
}
const char *cudaGetErrorName(int e) {
  return e == MEMORY ? "cudaErrorMemoryAllocation" : e == OLD_DRIVER ? "cudaErrorInsufficientDriver"
       : e == NO_DEVICE ? "cudaErrorNoDevice" : e == BAD_DEVICE ? "cudaErrorInvalidDevice"
       : e == UNSUPPORTED ? "cudaErrorStreamCaptureUnsupported" : e == INVALIDATED ? "cudaErrorStreamCaptureInvalidated"
       : "cudaErrorInvalidValue";
}
const char *cudaGetErrorString(int e) {
  return e == MEMORY ? "out of memory" : e == NO_DEVICE ? "no CUDA-capable device is detected"
       : e == BAD_DEVICE ? "invalid device ordinal" : e == INVALIDATED ? "operation failed due to a previous error during capture"
       : "see the CUDA manual";
}
