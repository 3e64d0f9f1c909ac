
/* The functions of FMI 2.0. The bodies are above; here stand their names, and the modes in which they may be called. */
#define STATUS(done) ((done) ? fmi2OK : fmi2Error)
#define FUNCTION(name) EXPORT fmi2Status FULL(name)

EXPORT const char *FULL(fmi2GetTypesPlatform)(void) { return "default"; }
EXPORT const char *FULL(fmi2GetVersion)(void) { return "2.0"; }

FUNCTION(fmi2SetDebugLogging)(fmi2Component c, fmi2Boolean on, size_t n UNUSED, const fmi2String categories[] UNUSED)
{
    if (c) ((Instance *)c)->host.logs = on;
    return STATUS(c);
}

EXPORT fmi2Component FULL(fmi2Instantiate)(fmi2String name, fmi2Type type, fmi2String guid,
                                           fmi2String resources UNUSED, const fmi2CallbackFunctions *callbacks,
                                           fmi2Boolean visible UNUSED, fmi2Boolean logging)
{
    const size_t length = name ? strlen(name) : 0;
    const Host host = {callbacks, (char *)calloc(length + 1, 1), logging};
    Instance *I;
    if (host.name && length) memcpy(host.name, name, length);
    I = created(guid, type == fmi2CoSimulation, host);
    if (!I) free(host.name);
    return I;
}

EXPORT void FULL(fmi2FreeInstance)(fmi2Component c)
{
    if (c) free(((Instance *)c)->host.name);
    free(c);
}

FUNCTION(fmi2SetupExperiment)(fmi2Component c, fmi2Boolean tolerance_defined UNUSED, fmi2Real tolerance UNUSED,
                              fmi2Real start_time, fmi2Boolean stop_defined UNUSED, fmi2Real stop UNUSED)
{
    Instance *I = (Instance *)c;
    if (!MAY(fmi2SetupExperiment, INSTANTIATED)) return fmi2Error;
    I->now.time = start_time;
    return fmi2OK;
}

FUNCTION(fmi2EnterInitializationMode)(fmi2Component c)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2EnterInitializationMode, INSTANTIATED) && moved(I, INITIALIZATION));
}

FUNCTION(fmi2ExitInitializationMode)(fmi2Component c)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2ExitInitializationMode, INITIALIZATION) && moved(I, I->co_simulation ? STEP : EVENT));
}

FUNCTION(fmi2Terminate)(fmi2Component c)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2Terminate, RUNNING) && moved(I, TERMINATED));
}

FUNCTION(fmi2Reset)(fmi2Component c)
{
    if (c) restart((Instance *)c);
    return STATUS(c);
}

/* Values */

FUNCTION(fmi2GetReal)(fmi2Component c, const fmi2ValueReference references[], size_t n, fmi2Real values[])
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2GetReal, ANY) && get_values(I, references, n, values, n));
}

FUNCTION(fmi2SetReal)(fmi2Component c, const fmi2ValueReference references[], size_t n, const fmi2Real values[])
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2SetReal, ANY) && set_values(I, references, n, values, n));
}

/* No variable has another type, and none has derivatives in time of its own: OK for none of them. */
static fmi2Status none(fmi2Component c, size_t n)
{
    return STATUS(c && holds((Instance *)c, n == 0, "this FMU has no such variables"));
}

#define OTHERS(type)                                                                                 \
    FUNCTION(fmi2Get##type)(fmi2Component c, const fmi2ValueReference references[] UNUSED, size_t n, \
                            fmi2##type values[] UNUSED)                                              \
    {                                                                                                \
        return none(c, n);                                                                           \
    }                                                                                                \
    FUNCTION(fmi2Set##type)(fmi2Component c, const fmi2ValueReference references[] UNUSED, size_t n, \
                            const fmi2##type values[] UNUSED)                                        \
    {                                                                                                \
        return none(c, n);                                                                           \
    }
OTHERS(Integer)
OTHERS(Boolean)
OTHERS(String)

FUNCTION(fmi2SetRealInputDerivatives)(fmi2Component c, const fmi2ValueReference references[] UNUSED, size_t n,
                                      const fmi2Integer orders[] UNUSED, const fmi2Real values[] UNUSED)
{
    return none(c, n);
}

FUNCTION(fmi2GetRealOutputDerivatives)(fmi2Component c, const fmi2ValueReference references[] UNUSED, size_t n,
                                       const fmi2Integer orders[] UNUSED, fmi2Real values[] UNUSED)
{
    return none(c, n);
}

/* The state of an instance as a whole */

FUNCTION(fmi2GetFMUstate)(fmi2Component c, fmi2FMUstate *state) { return STATUS(c && save((Instance *)c, state)); }
FUNCTION(fmi2SetFMUstate)(fmi2Component c, fmi2FMUstate state) { return STATUS(c && restore((Instance *)c, state)); }
FUNCTION(fmi2FreeFMUstate)(fmi2Component c, fmi2FMUstate *state) { return STATUS(c && discard(state)); }

FUNCTION(fmi2SerializedFMUstateSize)(fmi2Component c, fmi2FMUstate state UNUSED, size_t *size)
{
    *size = sizeof(State);
    return STATUS(c);
}

FUNCTION(fmi2SerializeFMUstate)(fmi2Component c, fmi2FMUstate state, fmi2Byte bytes[], size_t size)
{
    return STATUS(c && as_bytes((Instance *)c, state, bytes, size));
}

FUNCTION(fmi2DeSerializeFMUstate)(fmi2Component c, const fmi2Byte bytes[], size_t size, fmi2FMUstate *state)
{
    return STATUS(c && from_bytes((Instance *)c, bytes, size, state));
}

/* Derivatives */

FUNCTION(fmi2GetDirectionalDerivative)(fmi2Component c, const fmi2ValueReference unknowns[], size_t n_unknowns,
                                       const fmi2ValueReference knowns[], size_t n_knowns, const fmi2Real seed[],
                                       fmi2Real sensitivity[])
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2GetDirectionalDerivative, BEGUN) &&
                  count(I, knowns, n_knowns, can_be_known) == n_knowns &&
                  count(I, unknowns, n_unknowns, can_be_unknown) == n_unknowns &&
                  directional(I, unknowns, n_unknowns, knowns, n_knowns, seed, sensitivity));
}

/* Model Exchange */

FUNCTION(fmi2EnterEventMode)(fmi2Component c)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2EnterEventMode, CONTINUOUS) && moved(I, EVENT));
}

FUNCTION(fmi2NewDiscreteStates)(fmi2Component c, fmi2EventInfo *info)
{
    Instance *I = (Instance *)c;
    memset(info, 0, sizeof *info);
    return STATUS(MAY(fmi2NewDiscreteStates, EVENT));
}

FUNCTION(fmi2EnterContinuousTimeMode)(fmi2Component c)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2EnterContinuousTimeMode, EVENT) && moved(I, CONTINUOUS));
}

FUNCTION(fmi2CompletedIntegratorStep)(fmi2Component c, fmi2Boolean no_set_before UNUSED,
                                      fmi2Boolean *enter_event_mode, fmi2Boolean *terminate)
{
    Instance *I = (Instance *)c;
    *enter_event_mode = *terminate = 0;
    return STATUS(MAY(fmi2CompletedIntegratorStep, CONTINUOUS));
}

FUNCTION(fmi2SetTime)(fmi2Component c, fmi2Real time)
{
    Instance *I = (Instance *)c;
    if (!MAY(fmi2SetTime, EVENT | CONTINUOUS)) return fmi2Error;
    I->now.time = time;
    return fmi2OK;
}

FUNCTION(fmi2SetContinuousStates)(fmi2Component c, const fmi2Real states[], size_t n)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2SetContinuousStates, EVENT | CONTINUOUS) && set_states(I, states, n));
}

FUNCTION(fmi2GetDerivatives)(fmi2Component c, fmi2Real derivatives[], size_t n)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2GetDerivatives, BEGUN) && get_derivatives(I, derivatives, n));
}

FUNCTION(fmi2GetEventIndicators)(fmi2Component c, fmi2Real indicators[] UNUSED, size_t n) { return none(c, n); }

FUNCTION(fmi2GetContinuousStates)(fmi2Component c, fmi2Real states[], size_t n)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2GetContinuousStates, BEGUN) && get_states(I, states, n));
}

FUNCTION(fmi2GetNominalsOfContinuousStates)(fmi2Component c, fmi2Real values[], size_t n)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2GetNominalsOfContinuousStates, BEGUN) && get_nominals(I, values, n));
}

/* Co-Simulation: a step is done when its call returns */

FUNCTION(fmi2DoStep)(fmi2Component c, fmi2Real time, fmi2Real size, fmi2Boolean no_set_before UNUSED)
{
    Instance *I = (Instance *)c;
    return STATUS(MAY(fmi2DoStep, STEP) && step(I, time, size));
}

FUNCTION(fmi2CancelStep)(fmi2Component c)
{
    return STATUS(c && holds((Instance *)c, 0, "no step is under way"));
}

FUNCTION(fmi2GetRealStatus)(fmi2Component c, const fmi2StatusKind kind, fmi2Real *value)
{
    if (!c || kind != fmi2LastSuccessfulTime) return fmi2Discard;
    *value = ((Instance *)c)->now.time;
    return fmi2OK;
}

FUNCTION(fmi2GetBooleanStatus)(fmi2Component c, const fmi2StatusKind kind, fmi2Boolean *value)
{
    if (!c || kind != fmi2Terminated) return fmi2Discard;
    *value = 0;
    return fmi2OK;
}

FUNCTION(fmi2GetStatus)(fmi2Component c UNUSED, const fmi2StatusKind kind UNUSED, fmi2Status *value UNUSED)
{
    return fmi2Discard;
}

FUNCTION(fmi2GetIntegerStatus)(fmi2Component c UNUSED, const fmi2StatusKind kind UNUSED, fmi2Integer *value UNUSED)
{
    return fmi2Discard;
}

FUNCTION(fmi2GetStringStatus)(fmi2Component c UNUSED, const fmi2StatusKind kind UNUSED, fmi2String *value UNUSED)
{
    return fmi2Discard;
}
