// A C++11 program whose threads share one net: each has its own work area and results, and there is no lock.
//
//     threads ../../pendulum/pendulum.npz 1000 4
//
// Each thread follows a pendulum from another angle, and prints its angle and speed at the end.
#include "start_python.h"

#include <deltanet.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using State = std::array<double, 2>; // angle, speed

struct Interpreter { // as long as this object
    Interpreter()
    {
        if (start_python())
            throw std::runtime_error("no Python");
    }
    ~Interpreter() { Py_FinalizeEx(); }
};

struct Net { // holds the Python object, and so what `handle` points to
    const dn_api *api;
    PyObject *object;
    const dn_net *handle;

    explicit Net(const char *path)
        : api(dn_import()), object(api ? load_net(path) : nullptr),
          handle(object ? dn_net_from_object(object) : nullptr)
    {
        if (!handle) {
            PyErr_Print();
            Py_XDECREF(object);
            throw std::runtime_error(std::string("no net in ") + path);
        }
    }
    Net(const Net &) = delete;
    ~Net() { Py_DECREF(object); }
};

// The state after so many steps; its first is given, and the last one is left in its place
static int follow(const Net &net, long steps, State &state)
{
    std::vector<char> work(net.api->work_size(net.handle, 1, DN_Y));
    for (long t = 0; t < steps; t++) {
        const double x[3] = {state[0], state[1], 0};
        int status = net.api->eval(net.handle, nullptr, x, 1, state.data(), nullptr, nullptr, work.data());
        if (status != DN_OK)
            return status;
    }
    return DN_OK;
}

static void run(const char *path, long steps, std::size_t count)
{
    Interpreter interpreter;
    Net net(path);
    if (net.api->num_inputs(net.handle) != 3 || net.api->num_outputs(net.handle) != 2)
        throw std::runtime_error("the net must have 3 inputs and 2 outputs");
    std::vector<State> states(count);
    std::vector<int> status(count, DN_OK);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; i++) {
        states[i] = {{0.1 * static_cast<double>(i + 1), 0}};
        threads.emplace_back([&, i] { status[i] = follow(net, steps, states[i]); });
    }
    for (std::thread &thread : threads)
        thread.join(); // this thread holds the interpreter's lock all the time: the others need none
    for (std::size_t i = 0; i < count; i++) {
        if (status[i] != DN_OK)
            throw std::runtime_error(net.api->strerror(status[i]));
        std::printf("%.17g %.17g\n", states[i][0], states[i][1]);
    }
}

int main(int argc, char **argv)
{
    try {
        if (argc != 4)
            throw std::invalid_argument("usage: threads NET STEPS THREADS");
        run(argv[1], std::stol(argv[2]), std::stoul(argv[3]));
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
