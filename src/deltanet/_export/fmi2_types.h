/* Types of FMI 2.0, from the tables of the standard */
#if defined(FMI2_OVERRIDE_FUNCTION_PREFIX)
#define FULL(name) name
#else
#if !defined(FMI2_FUNCTION_PREFIX)
#define FMI2_FUNCTION_PREFIX PREFIX
#endif
#define PASTE(a, b) a##b
#define PASTED(a, b) PASTE(a, b)
#define FULL(name) PASTED(FMI2_FUNCTION_PREFIX, name)
#endif

typedef void *fmi2Component, *fmi2ComponentEnvironment, *fmi2FMUstate;
typedef Reference fmi2ValueReference;
typedef double fmi2Real;
typedef int fmi2Integer, fmi2Boolean;
typedef const char *fmi2String;
typedef char fmi2Byte;

typedef enum { fmi2OK, fmi2Warning, fmi2Discard, fmi2Error, fmi2Fatal, fmi2Pending } fmi2Status;
typedef enum { fmi2ModelExchange, fmi2CoSimulation } fmi2Type;
typedef enum { fmi2DoStepStatus, fmi2PendingStatus, fmi2LastSuccessfulTime, fmi2Terminated } fmi2StatusKind;

typedef void (*fmi2CallbackLogger)(fmi2ComponentEnvironment, fmi2String name, fmi2Status, fmi2String category,
                                   fmi2String message, ...);
typedef struct {
    fmi2CallbackLogger logger;
    void *(*allocateMemory)(size_t, size_t);
    void (*freeMemory)(void *);
    void (*stepFinished)(fmi2ComponentEnvironment, fmi2Status);
    fmi2ComponentEnvironment componentEnvironment;
} fmi2CallbackFunctions;
typedef struct {
    fmi2Boolean newDiscreteStatesNeeded, terminateSimulation, nominalsOfContinuousStatesChanged;
    fmi2Boolean valuesOfContinuousStatesChanged, nextEventTimeDefined;
    fmi2Real nextEventTime;
} fmi2EventInfo;

typedef struct {
    const fmi2CallbackFunctions *callbacks;
    char *name;
    int logs;
} Host;

static void log_error(const Host *host, const char *message)
{
    if (host->logs && host->callbacks && host->callbacks->logger)
        host->callbacks->logger(host->callbacks->componentEnvironment, host->name, fmi2Error, "logStatusError", message);
}

