/* Python in a program of C or C++: it starts, with the packages of an environment, and loads a net. */
#ifndef START_PYTHON_H
#define START_PYTHON_H

#include <Python.h>
#include <stdio.h>

/* PYTHON, which the build gives, is the interpreter of the environment. 0, or -1 after a message */
static inline int start_python(void)
{
    PyConfig config;
    PyStatus status;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0; /* Ctrl-C ends the program, as it did before */
    status = PyConfig_SetBytesString(&config, &config.executable, PYTHON);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        fprintf(stderr, "Python does not start: %s\n", status.err_msg ? status.err_msg : "");
    return PyStatus_Exception(status) ? -1 : 0;
}

/* deltanet.load(path), a new reference; NULL with an error set */
static inline PyObject *load_net(const char *path)
{
    PyObject *deltanet = PyImport_ImportModule("deltanet");
    PyObject *net = deltanet ? PyObject_CallMethod(deltanet, "load", "s", path) : NULL;
    Py_XDECREF(deltanet);
    return net;
}

#endif
