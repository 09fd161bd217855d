const answer = await (await fetch("/api/greeting")).json();

document.querySelector("#greeting").textContent = answer.greeting;
document.querySelector("#slot").textContent = answer.slot;
