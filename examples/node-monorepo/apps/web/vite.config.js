import { defineConfig } from "vite";

// The API's port differs per worktree; devrun puts it into the environment of every service.
export default defineConfig({
  clearScreen: false,
  server: { proxy: { "/api": `http://localhost:${process.env.API_PORT}` } },
});
