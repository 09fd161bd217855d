// `next dev` asks the npm registry for security advisories at every start; an example talks to nobody.
export default { experimental: { agentUpgrade: false } };
