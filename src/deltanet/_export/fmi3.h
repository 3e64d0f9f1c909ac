
/* The functions of FMI 3.0. The bodies are above; here stand their names, and the modes in which they may be called. */
#define STATUS(done) ((done) ? fmi3OK : fmi3Error)
#define FUNCTION(name) EXPORT fmi3Status FULL(name)

EXPORT const char *FULL(fmi3GetVersion)(void) { return "3.0"; }

FUNCTION(fmi3SetDebugLogging)(fmi3Instance I, fmi3Boolean on UNUSED, size_t n UNUSED,
                              const fmi3String categories[] UNUSED)
{
    return STATUS(I);
}

EXPORT fmi3Instance FULL(fmi3InstantiateModelExchange)(
    fmi3String name UNUSED, fmi3String token, fmi3String resources UNUSED, fmi3Boolean visible UNUSED,
    fmi3Boolean logging UNUSED, fmi3InstanceEnvironment environment, fmi3LogMessageCallback log)
{
    const Host host = {log, environment};
    return created(token, 0, host);
}

EXPORT fmi3Instance FULL(fmi3InstantiateCoSimulation)(
    fmi3String name UNUSED, fmi3String token, fmi3String resources UNUSED, fmi3Boolean visible UNUSED,
    fmi3Boolean logging UNUSED, fmi3Boolean event_mode, fmi3Boolean early_return UNUSED,
    const fmi3ValueReference intermediate[] UNUSED, size_t n_intermediate, fmi3InstanceEnvironment environment,
    fmi3LogMessageCallback log, fmi3IntermediateUpdateCallback update UNUSED)
{
    const Host host = {log, environment};
    if (event_mode || n_intermediate) {
        log_error(&host, "Co-Simulation has no event mode and no intermediate variables here");
        return NULL;
    }
    return created(token, 1, host);
}

EXPORT fmi3Instance FULL(fmi3InstantiateScheduledExecution)(
    fmi3String name UNUSED, fmi3String token UNUSED, fmi3String resources UNUSED, fmi3Boolean visible UNUSED,
    fmi3Boolean logging UNUSED, fmi3InstanceEnvironment environment, fmi3LogMessageCallback log,
    fmi3ClockUpdateCallback update UNUSED, fmi3LockPreemptionCallback lock UNUSED,
    fmi3UnlockPreemptionCallback unlock UNUSED)
{
    const Host host = {log, environment};
    log_error(&host, "Scheduled Execution is not among the interfaces of this FMU");
    return NULL;
}

EXPORT void FULL(fmi3FreeInstance)(fmi3Instance instance) { free(instance); }

FUNCTION(fmi3EnterInitializationMode)(fmi3Instance instance, fmi3Boolean tolerance_defined UNUSED,
                                      fmi3Float64 tolerance UNUSED, fmi3Float64 start_time,
                                      fmi3Boolean stop_defined UNUSED, fmi3Float64 stop UNUSED)
{
    Instance *I = (Instance *)instance;
    if (!MAY(fmi3EnterInitializationMode, INSTANTIATED)) return fmi3Error;
    I->now.time = start_time;
    return STATUS(moved(I, INITIALIZATION));
}

FUNCTION(fmi3ExitInitializationMode)(fmi3Instance instance)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3ExitInitializationMode, INITIALIZATION) && moved(I, I->co_simulation ? STEP : EVENT));
}

FUNCTION(fmi3EnterEventMode)(fmi3Instance instance)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3EnterEventMode, CONTINUOUS) && moved(I, EVENT));
}

FUNCTION(fmi3Terminate)(fmi3Instance instance)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3Terminate, RUNNING) && moved(I, TERMINATED));
}

FUNCTION(fmi3Reset)(fmi3Instance instance)
{
    if (instance) restart((Instance *)instance);
    return STATUS(instance);
}

/* Values */

FUNCTION(fmi3GetFloat64)(fmi3Instance instance, const fmi3ValueReference references[], size_t n, fmi3Float64 values[],
                         size_t n_values)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3GetFloat64, ANY) && get_values(I, references, n, values, n_values));
}

FUNCTION(fmi3SetFloat64)(fmi3Instance instance, const fmi3ValueReference references[], size_t n,
                         const fmi3Float64 values[], size_t n_values)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3SetFloat64, ANY) && set_values(I, references, n, values, n_values));
}

/* No variable has another type, none is a clock, and none has dependencies by element: OK for none of them. */
static fmi3Status none(fmi3Instance instance, size_t n)
{
    return STATUS(instance && holds((Instance *)instance, n == 0, "this FMU has no such variables"));
}

#define OTHERS(type)                                                                                               \
    FUNCTION(fmi3Get##type)(fmi3Instance I, const fmi3ValueReference references[] UNUSED, size_t n,                \
                            fmi3##type values[] UNUSED, size_t n_values UNUSED)                                    \
    {                                                                                                              \
        return none(I, n);                                                                                         \
    }                                                                                                              \
    FUNCTION(fmi3Set##type)(fmi3Instance I, const fmi3ValueReference references[] UNUSED, size_t n,                \
                            const fmi3##type values[] UNUSED, size_t n_values UNUSED)                              \
    {                                                                                                              \
        return none(I, n);                                                                                         \
    }
OTHERS(Float32)
OTHERS(Int8)
OTHERS(UInt8)
OTHERS(Int16)
OTHERS(UInt16)
OTHERS(Int32)
OTHERS(UInt32)
OTHERS(Int64)
OTHERS(UInt64)
OTHERS(Boolean)
OTHERS(String)

FUNCTION(fmi3GetBinary)(fmi3Instance I, const fmi3ValueReference references[] UNUSED, size_t n,
                        size_t sizes[] UNUSED, fmi3Binary values[] UNUSED, size_t n_values UNUSED)
{
    return none(I, n);
}

FUNCTION(fmi3SetBinary)(fmi3Instance I, const fmi3ValueReference references[] UNUSED, size_t n,
                        const size_t sizes[] UNUSED, const fmi3Binary values[] UNUSED, size_t n_values UNUSED)
{
    return none(I, n);
}

#define CLOCKS(name, ...)                                                                              \
    FUNCTION(name)(fmi3Instance I, const fmi3ValueReference references[] UNUSED, size_t n, __VA_ARGS__) \
    {                                                                                                  \
        return none(I, n);                                                                             \
    }
CLOCKS(fmi3GetClock, fmi3Clock values[] UNUSED)
CLOCKS(fmi3SetClock, const fmi3Clock values[] UNUSED)
CLOCKS(fmi3GetIntervalDecimal, fmi3Float64 intervals[] UNUSED, fmi3IntervalQualifier qualifiers[] UNUSED)
CLOCKS(fmi3GetIntervalFraction, fmi3UInt64 counters[] UNUSED, fmi3UInt64 resolutions[] UNUSED,
       fmi3IntervalQualifier qualifiers[] UNUSED)
CLOCKS(fmi3GetShiftDecimal, fmi3Float64 shifts[] UNUSED)
CLOCKS(fmi3GetShiftFraction, fmi3UInt64 counters[] UNUSED, fmi3UInt64 resolutions[] UNUSED)
CLOCKS(fmi3SetIntervalDecimal, const fmi3Float64 intervals[] UNUSED)
CLOCKS(fmi3SetIntervalFraction, const fmi3UInt64 counters[] UNUSED, const fmi3UInt64 resolutions[] UNUSED)
CLOCKS(fmi3SetShiftDecimal, const fmi3Float64 shifts[] UNUSED)
CLOCKS(fmi3SetShiftFraction, const fmi3UInt64 counters[] UNUSED, const fmi3UInt64 resolutions[] UNUSED)
CLOCKS(fmi3GetOutputDerivatives, const fmi3Int32 orders[] UNUSED, fmi3Float64 values[] UNUSED, size_t n_values UNUSED)

FUNCTION(fmi3GetNumberOfVariableDependencies)(fmi3Instance I, fmi3ValueReference r UNUSED, size_t *n UNUSED)
{
    return none(I, 1);
}

FUNCTION(fmi3GetVariableDependencies)(fmi3Instance I, fmi3ValueReference dependent UNUSED, size_t elements[] UNUSED,
                                      fmi3ValueReference independents[] UNUSED, size_t of_independents[] UNUSED,
                                      fmi3DependencyKind kinds[] UNUSED, size_t n UNUSED)
{
    return none(I, 1);
}

/* The state of an instance as a whole */

FUNCTION(fmi3GetFMUState)(fmi3Instance I, fmi3FMUState *state) { return STATUS(I && save((Instance *)I, state)); }
FUNCTION(fmi3SetFMUState)(fmi3Instance I, fmi3FMUState state) { return STATUS(I && restore((Instance *)I, state)); }
FUNCTION(fmi3FreeFMUState)(fmi3Instance I, fmi3FMUState *state) { return STATUS(I && discard(state)); }

FUNCTION(fmi3SerializedFMUStateSize)(fmi3Instance I, fmi3FMUState state UNUSED, size_t *size)
{
    *size = sizeof(State);
    return STATUS(I);
}

FUNCTION(fmi3SerializeFMUState)(fmi3Instance I, fmi3FMUState state, fmi3Byte bytes[], size_t size)
{
    return STATUS(I && as_bytes((Instance *)I, state, bytes, size));
}

FUNCTION(fmi3DeserializeFMUState)(fmi3Instance I, const fmi3Byte bytes[], size_t size, fmi3FMUState *state)
{
    return STATUS(I && from_bytes((Instance *)I, bytes, size, state));
}

/* Derivatives */

FUNCTION(fmi3GetDirectionalDerivative)(fmi3Instance instance, const fmi3ValueReference unknowns[], size_t n_unknowns,
                                       const fmi3ValueReference knowns[], size_t n_knowns, const fmi3Float64 seed[],
                                       size_t n_seed, fmi3Float64 sensitivity[], size_t n_sensitivity)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3GetDirectionalDerivative, BEGUN) &&
                  holds(I, count(I, knowns, n_knowns, can_be_known) == n_seed &&
                               count(I, unknowns, n_unknowns, can_be_unknown) == n_sensitivity,
                        "seed and sensitivity must have one number for each of the variables") &&
                  directional(I, unknowns, n_unknowns, knowns, n_knowns, seed, sensitivity));
}

/* seed^T d(unknowns)/d(knowns), from one backward pass */
static void adjoint(Instance *I, const Reference unknowns[], size_t n_unknowns, const Reference knowns[],
                    size_t n_knowns, const double seed[], double *sensitivity)
{
    size_t i;
    memset(I->u, 0, sizeof I->u);
    memset(I->v, 0, sizeof I->v);
    for (i = 0; i < n_unknowns; i++)
        if (is_output(unknowns[i]))
            I->u[unknowns[i] - FIRST_OUTPUT] += seed[i];
        else
            I->v[unknowns[i] - FIRST_INPUT] += seed[i];
    NET(vjp)(PARAMETERS(I) I->now.x, I->u, GRADIENT(I), I->grad_x, I->work);
    for (i = 0; i < n_knowns; i++)
        if (is_theta(knowns[i])) {
            memcpy(sensitivity, GRADIENT(I), sizeof(double) * PARAMS);
            sensitivity += PARAMS;
        } else if (is_input(knowns[i]))
            *sensitivity++ = I->grad_x[knowns[i] - FIRST_INPUT] + I->v[knowns[i] - FIRST_INPUT];
        else
            *sensitivity++ = 0; /* time */
}

FUNCTION(fmi3GetAdjointDerivative)(fmi3Instance instance, const fmi3ValueReference unknowns[], size_t n_unknowns,
                                   const fmi3ValueReference knowns[], size_t n_knowns, const fmi3Float64 seed[],
                                   size_t n_seed, fmi3Float64 sensitivity[], size_t n_sensitivity)
{
    Instance *I = (Instance *)instance;
    if (!MAY(fmi3GetAdjointDerivative, BEGUN) ||
        !holds(I, count(I, unknowns, n_unknowns, can_be_unknown) == n_seed &&
                      count(I, knowns, n_knowns, can_be_known) == n_sensitivity,
               "seed and sensitivity must have one number for each of the variables"))
        return fmi3Error;
    adjoint(I, unknowns, n_unknowns, knowns, n_knowns, seed, sensitivity);
    return fmi3OK;
}

/* Configuration, which changes the sizes of arrays: those here are fixed */

FUNCTION(fmi3EnterConfigurationMode)(fmi3Instance I) { return none(I, 1); }
FUNCTION(fmi3ExitConfigurationMode)(fmi3Instance I) { return none(I, 1); }

/* Model Exchange */

FUNCTION(fmi3EvaluateDiscreteStates)(fmi3Instance instance)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3EvaluateDiscreteStates, INITIALIZATION | EVENT));
}

FUNCTION(fmi3UpdateDiscreteStates)(fmi3Instance instance, fmi3Boolean *need_update, fmi3Boolean *terminate,
                                   fmi3Boolean *nominals_changed, fmi3Boolean *values_changed,
                                   fmi3Boolean *next_event_defined, fmi3Float64 *next_event UNUSED)
{
    Instance *I = (Instance *)instance;
    *need_update = *terminate = *nominals_changed = *values_changed = *next_event_defined = false;
    return STATUS(MAY(fmi3UpdateDiscreteStates, EVENT));
}

FUNCTION(fmi3EnterContinuousTimeMode)(fmi3Instance instance)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3EnterContinuousTimeMode, EVENT) && moved(I, CONTINUOUS));
}

FUNCTION(fmi3CompletedIntegratorStep)(fmi3Instance instance, fmi3Boolean no_set_before UNUSED,
                                      fmi3Boolean *enter_event_mode, fmi3Boolean *terminate)
{
    Instance *I = (Instance *)instance;
    *enter_event_mode = *terminate = false;
    return STATUS(MAY(fmi3CompletedIntegratorStep, CONTINUOUS));
}

FUNCTION(fmi3SetTime)(fmi3Instance instance, fmi3Float64 time)
{
    Instance *I = (Instance *)instance;
    if (!MAY(fmi3SetTime, EVENT | CONTINUOUS)) return fmi3Error;
    I->now.time = time;
    return fmi3OK;
}

FUNCTION(fmi3SetContinuousStates)(fmi3Instance instance, const fmi3Float64 states[], size_t n)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3SetContinuousStates, EVENT | CONTINUOUS) && set_states(I, states, n));
}

FUNCTION(fmi3GetContinuousStateDerivatives)(fmi3Instance instance, fmi3Float64 derivatives[], size_t n)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3GetContinuousStateDerivatives, BEGUN) && get_derivatives(I, derivatives, n));
}

FUNCTION(fmi3GetEventIndicators)(fmi3Instance I, fmi3Float64 indicators[] UNUSED, size_t n) { return none(I, n); }

FUNCTION(fmi3GetContinuousStates)(fmi3Instance instance, fmi3Float64 states[], size_t n)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3GetContinuousStates, BEGUN) && get_states(I, states, n));
}

FUNCTION(fmi3GetNominalsOfContinuousStates)(fmi3Instance instance, fmi3Float64 values[], size_t n)
{
    Instance *I = (Instance *)instance;
    return STATUS(MAY(fmi3GetNominalsOfContinuousStates, BEGUN) && get_nominals(I, values, n));
}

FUNCTION(fmi3GetNumberOfEventIndicators)(fmi3Instance I, size_t *n)
{
    *n = 0;
    return STATUS(I);
}

FUNCTION(fmi3GetNumberOfContinuousStates)(fmi3Instance I, size_t *n)
{
    *n = STATES;
    return STATUS(I);
}

/* Co-Simulation */

FUNCTION(fmi3EnterStepMode)(fmi3Instance I) { return none(I, 1); /* it leaves the event mode */ }

FUNCTION(fmi3DoStep)(fmi3Instance instance, fmi3Float64 time, fmi3Float64 size, fmi3Boolean no_set_before UNUSED,
                     fmi3Boolean *event, fmi3Boolean *terminate, fmi3Boolean *early_return, fmi3Float64 *last_time)
{
    Instance *I = (Instance *)instance;
    *event = *terminate = *early_return = false;
    if (!MAY(fmi3DoStep, STEP) || !step(I, time, size)) return fmi3Error;
    *last_time = I->now.time;
    return fmi3OK;
}

FUNCTION(fmi3ActivateModelPartition)(fmi3Instance I, fmi3ValueReference clock UNUSED, fmi3Float64 time UNUSED)
{
    return none(I, 1);
}
